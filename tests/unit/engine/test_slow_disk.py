"""A disk that needs long for a commit, as a network file system does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError
from tests.unit.fickle import PATIENT, Bench
from tests.unit.interference import Times


class SlowDisk:
    """Nothing gets to the disk before ``go_on``: another process has locked the journal."""

    def __init__(self, bench: Bench) -> None:
        self._connection = sqlite3.connect(
            bench.database.path, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("BEGIN IMMEDIATE")

    def go_on(self) -> None:
        self._connection.rollback()


@pytest.fixture
def disk(bench: Bench) -> Iterator[SlowDisk]:
    made = SlowDisk(bench)
    yield made
    made.go_on()
    made._connection.close()


def turns(bench: Bench) -> None:
    """Let the event loop do what it can do now."""

    async def turn() -> None:
        for _ in range(50):
            await asyncio.sleep(0.001)

    bench.controller.call(turn(), timeout=1000)


def test_no_job_is_submitted_before_that_is_on_disk(bench: Bench, disk: SlowDisk) -> None:
    bench.submit("j-1", "j-2")
    turns(bench)
    assert bench.backend.runs == {}
    disk.go_on()
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    assert bench.backend.runs == {"j-1": 1, "j-2": 1}
    assert bench.left() == {"j-1": "submitted", "j-2": "submitted"}


def test_jobs_are_followed_while_the_disk_is_slow(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    bench.database.query("SELECT 1")  # all of that is on disk
    disk = SlowDisk(bench)
    bench.submit("j-3")  # waits for the disk
    asked = bench.backend.asked
    for _ in range(3):
        assert bench.controller.call(bench.controller.poll()) == []
    assert bench.backend.asked == asked + 3
    disk.go_on()
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 3)


def test_a_success_is_reported_once_it_is_on_disk(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    bench.database.query("SELECT 1")
    disk = SlowDisk(bench)
    bench.succeed("j-1")
    assert bench.polls(20) == []
    turns(bench)
    disk.go_on()
    (outcome,) = bench.ended(1)
    assert outcome.success
    assert bench.phases() == {"j-1": "outputs installed"}


def test_failures_of_a_batch_share_a_commit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[int] = []
    commit = bench.database._queue._commit
    monkeypatch.setattr(
        bench.database._queue, "_commit", lambda some: (commits.append(len(some)), commit(some))
    )
    names = [f"j-{number}" for number in range(40)]
    bench.backend.takes = lambda _: False
    bench.backend.answer = Times(PermanentError("it is refused"), 40)
    bench.submit(*names)
    outcomes = bench.ended(40)
    assert {outcome.success for outcome in outcomes} == {False}
    assert set(bench.phases().values()) == {"failed"}
    assert len(commits) < 20


@PATIENT
def test_a_file_that_stays_locked_is_waited_for_like_a_full_disk(bench: Bench) -> None:
    bench.database._connection.execute("PRAGMA busy_timeout=0")
    disk = SlowDisk(bench)
    with pytest.raises(TransientError):
        bench.controller.call(
            bench.controller._context.record(bench.journal.trouble, ""), timeout=20
        )
    assert any("Waiting for the disk" in text for text in bench.said)
    disk.go_on()
