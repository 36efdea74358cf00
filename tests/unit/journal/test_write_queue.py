"""A disk that is slow, full or gone while the journal is written, and a process that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.write_queue import Change, Write, WriteQueue
from snakemake_executor_plugin_grid.model.errors import GridError

TABLE = "CREATE TABLE IF NOT EXISTS notes (note TEXT UNIQUE, place INTEGER PRIMARY KEY)"
INSERT = "INSERT INTO notes (note) VALUES (?)"
SELECT = "SELECT note FROM notes ORDER BY place"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "grid.sqlite") as made:
        made.create(TABLE)
        yield made


class SlowDisk:
    """A disk that writes nothing until it is told to: another process has locked the file."""

    def __init__(self, database: Database) -> None:
        self._connection = sqlite3.connect(database.path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def go_on(self) -> None:
        self._connection.rollback()
        self._connection.close()


def test_the_event_loop_goes_on_while_the_disk_is_slow(database: Database) -> None:
    async def run() -> None:
        disk = SlowDisk(database)
        write = database.write(INSERT, [("a",)])
        waiting = asyncio.ensure_future(_until(write))
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        disk.go_on()
        await waiting

    asyncio.run(run())
    assert database.query(SELECT) == [("a",)]


def test_changes_of_many_callers_share_a_commit_and_keep_their_order() -> None:
    queue: list[list[str]] = []
    began, go_on = threading.Event(), threading.Event()

    def commit(changes: Sequence[Change]) -> None:
        began.set()
        go_on.wait()
        queue.append([change.statement for change in changes])

    writes = WriteQueue(commit)
    writes.put(Change("0", []))
    began.wait()
    later = [writes.put(Change(str(number), [])) for number in range(1, 20)]
    go_on.set()
    for write in later:
        write.wait()
    assert queue == [["0"], [str(number) for number in range(1, 20)]]
    writes.close()


def test_a_change_that_fails_fails_alone(database: Database) -> None:
    disk = SlowDisk(database)
    database.write(INSERT, [("first",)])  # keeps the others together
    writes = [database.write(INSERT, [(name,)]) for name in ("a", "b", "a", "c")]
    disk.go_on()
    with pytest.raises(GridError, match="UNIQUE"):
        writes[2].wait()
    for write in (writes[0], writes[1], writes[3]):
        write.wait()
    assert database.query(SELECT) == [("first",), ("a",), ("b",), ("c",)]


def test_a_query_sees_what_was_noted_before(database: Database) -> None:
    database.write(INSERT, [("a",)])
    assert database.query(SELECT) == [("a",)]


def test_what_nobody_waits_for_is_written_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite"
    with Database(path) as database:
        database.create(TABLE)
        for number in range(100):
            database.write(INSERT, [(str(number),)])
    with Database(path) as again:
        assert again.query(SELECT) == [(str(number),) for number in range(100)]


@pytest.mark.parametrize("before", [0, 1])
def test_after_the_end_a_change_is_refused(database: Database, before: int) -> None:
    for number in range(before):
        database.change(INSERT, [(str(number),)])
    database.close()
    with pytest.raises(GridError, match="closed"):
        database.change(INSERT, [("late",)])
    database.close()


def test_a_caller_that_is_cancelled_takes_no_change_back(database: Database) -> None:
    async def run() -> None:
        disk = SlowDisk(database)
        waiting = asyncio.ensure_future(_until(database.write(INSERT, [("a",)])))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        disk.go_on()

    asyncio.run(run())
    assert database.query(SELECT) == [("a",)]


_EFFECTS = """
import asyncio, sys
from pathlib import Path
from snakemake_executor_plugin_grid.journal.database import Database

database = Database(Path(sys.argv[1]))
database.create({table!r})

async def effects():
    for number in range(1_000_000):
        unimportant = [database.write({insert!r}, [(f"{{number}}-{{i}}",)]) for i in range(3)]
        await database.write({insert!r}, [(f"effect {{number}}",)])
        print(number, flush=True)

asyncio.run(effects())
"""


def test_of_a_killed_run_every_effect_is_noted_and_the_order_has_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "grid.sqlite"
    program = _EFFECTS.format(table=TABLE, insert=INSERT)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    effects = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    effects += [int(line) for line in process.stdout]
    process.wait()
    process.stdout.close()
    with Database(path) as database:
        notes = [note for (note,) in database.query(SELECT)]
    assert {f"effect {number}" for number in effects} <= set(notes)
    expected = []
    for number in range(len(notes)):
        expected += [*(f"{number}-{i}" for i in range(3)), f"effect {number}"]
    assert notes == expected[: len(notes)]


async def _until(write: Write) -> None:
    await write
