from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.grid_data.persistent import PersistentCatalog
from snakemake_executor_plugin_grid.grid_data.removal import (
    Removals,
    forget_in_journal,
    note_in_journal,
)
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import open_database
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.model.errors import CredentialsError, GridError
from tests.unit.grid_data.fake_catalog import FakeCatalog

NAMES = ["lfn:/vo/a", "lfn:/vo/b", "lfn:/vo/c"]


class Bench:
    def __init__(self, pause: float) -> None:
        self.fake = FakeCatalog()
        self.said: list[str] = []
        self.noted: dict[str, str] = {}
        self.note_error: Exception | None = None
        catalog = PersistentCatalog(self.fake, self.said.append, lambda _: None)
        self.lookup = Lookup(catalog)
        self.removals = Removals(catalog, self.lookup, self.note, self.said.append, pause)
        for name in NAMES:
            self.fake.add(name)

    def note(self, why: Mapping[str, str]) -> None:
        if self.note_error is not None:
            raise self.note_error
        self.noted.update(why)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(pause=30)
    yield bench
    bench.fake.gate.set()
    bench.removals.flush()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_files_are_removed_in_one_call_and_absent_at_once(bench: Bench) -> None:
    for name in NAMES:
        assert bench.lookup.facts(name)
        bench.removals.remove(name)
        assert bench.lookup.facts(name) is None
    assert bench.fake.files
    bench.removals.flush()
    assert bench.fake.asked("remove") == [NAMES]
    assert not bench.fake.files
    assert not bench.said


def test_they_are_removed_soon_without_a_flush() -> None:
    bench = Bench(pause=0.05)
    bench.removals.remove(NAMES[0])
    until(lambda: NAMES[0] not in bench.fake.files)
    bench.removals.remove(NAMES[1])
    until(lambda: NAMES[1] not in bench.fake.files)


def test_what_stays_is_noted_and_told_once(bench: Bench) -> None:
    bench.fake.stuck[NAMES[1]] = "a replica is left on SE-1: busy"
    for name in NAMES:
        bench.removals.remove(name)
    bench.removals.flush()
    assert bench.noted == {NAMES[1]: "a replica is left on SE-1: busy"}
    (line,) = bench.said
    assert line == (
        "1 file on the grid could not be removed (a replica is left on SE-1: busy): lfn:/vo/b; "
        "`snakemake-grid clean` removes them."
    )
    assert bench.lookup.facts(NAMES[1]) is None, "for this run it does not exist"


def test_at_the_end_an_error_leaves_the_files_noted(bench: Bench) -> None:
    bench.fake.errors["remove"] = [CredentialsError("the proxy has expired")]
    bench.removals.remove(NAMES[0])
    bench.removals.flush()
    assert bench.noted == {NAMES[0]: "the proxy has expired"}


def test_before_the_end_an_error_is_tried_again_later() -> None:
    bench = Bench(pause=0.01)
    bench.fake.errors["remove"] = [CredentialsError("the proxy has expired.")]
    bench.removals.remove(NAMES[0])
    until(lambda: bool(bench.said))
    assert bench.said == ["Files on the grid cannot be removed now: the proxy has expired."]
    assert not bench.noted
    bench.removals.flush()
    assert NAMES[0] not in bench.fake.files


@pytest.mark.parametrize("kind", [GridError, RuntimeError])
def test_what_cannot_be_noted_is_named(bench: Bench, kind: type[Exception]) -> None:
    bench.note_error = kind("the disk is full")
    bench.fake.stuck[NAMES[0]] = "busy"
    bench.removals.remove(NAMES[0])
    bench.removals.flush()
    assert "remove them yourself, as they could not be noted (the disk is full)" in bench.said[0]


def test_after_a_bug_the_files_are_noted_and_others_are_removed() -> None:
    bench = Bench(pause=0.01)
    bench.fake.errors["remove"] = [ZeroDivisionError("bug")]
    bench.removals.remove(NAMES[0])
    until(lambda: bench.noted == {NAMES[0]: "bug"})
    bench.removals.remove(NAMES[1])
    until(lambda: NAMES[1] not in bench.fake.files)


def test_a_file_that_is_written_again_is_not_removed(bench: Bench) -> None:
    bench.removals.remove(NAMES[0])
    bench.removals.remove(NAMES[1])
    bench.removals.withdraw([NAMES[0]])
    assert bench.lookup.facts(NAMES[0])
    bench.removals.flush()
    assert bench.fake.files.keys() == {NAMES[0], NAMES[2]}


def test_whoever_writes_a_file_waits_while_it_is_removed() -> None:
    bench = Bench(pause=0.01)
    bench.fake.gate.clear()
    bench.removals.remove(NAMES[0])
    assert bench.fake.entered.wait(10)

    written = threading.Event()

    def write() -> None:
        bench.removals.withdraw([NAMES[0]])
        bench.fake.add(NAMES[0], b"new")
        written.set()

    threading.Thread(target=write).start()
    assert not written.wait(0.1)
    bench.fake.gate.set()
    assert written.wait(10)
    bench.removals.flush()
    assert bench.fake.files[NAMES[0]] == b"new"


def test_before_a_job_writes_a_file_its_removal_is_done(bench: Bench) -> None:
    bench.removals.remove(NAMES[0])
    bench.removals.settle(NAMES)
    assert NAMES[0] not in bench.fake.files
    bench.removals.settle(NAMES)  # nothing is pending
    assert bench.fake.asked("remove") == [NAMES[:1]]


def test_a_job_that_writes_other_files_hurries_no_removal(bench: Bench) -> None:
    bench.removals.remove(NAMES[0])
    bench.removals.settle([NAMES[1]])
    time.sleep(0.3)  # longer than the thread sleeps
    bench.removals.remove(NAMES[2])
    bench.removals.flush()
    assert bench.fake.asked("remove") == [[NAMES[0], NAMES[2]]]


def test_a_removal_that_fails_does_not_stop_the_job(bench: Bench) -> None:
    bench.fake.errors["remove"] = [CredentialsError("the proxy has expired")]
    bench.removals.remove(NAMES[0])
    bench.removals.settle([NAMES[0]])
    assert bench.lookup.facts(NAMES[0]), "the job is told that it replaces a file"
    bench.removals.flush()
    assert NAMES[0] in bench.fake.files


def test_outputs_that_a_failed_job_did_not_write_stay(bench: Bench) -> None:
    bench.removals.protect([NAMES[0]])
    for _ in range(2):  # Snakemake removes some twice
        assert bench.lookup.facts(NAMES[0])
        bench.removals.remove(NAMES[0])
    bench.removals.flush()
    assert NAMES[0] in bench.fake.files
    bench.removals.settle([NAMES[0]])  # the next attempt
    bench.removals.remove(NAMES[0])
    bench.removals.flush()
    assert NAMES[0] not in bench.fake.files


PROGRAM = """
import sys
from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.grid_data.persistent import PersistentCatalog
from snakemake_executor_plugin_grid.grid_data.removal import Removals
from tests.unit.grid_data.fake_catalog import FakeCatalog
fake = FakeCatalog()
say = lambda text: print(text, flush=True)
catalog = PersistentCatalog(fake, say)
removals = Removals(catalog, Lookup(catalog), lambda why: None, say, 100)
fake.stuck["lfn:/vo/a"] = "stuck"
removals.remove("lfn:/vo/a")
{end}
"""


@pytest.mark.parametrize("end", ["", "sys.exit(1)", "1/0"])
def test_at_the_end_of_the_program_the_rest_is_removed(end: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(end=end)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("1 file on the grid could not be removed (stuck): lfn:/vo/a;")


HANGS = PROGRAM.replace(", lambda why: None,", ', lambda why: say(f"noted {{list(why)}}"),')


def test_ctrl_c_while_files_are_removed_at_the_end_notes_them() -> None:
    end = "fake.gate.clear(); print('ends', flush=True)"
    program = subprocess.Popen(
        [sys.executable, "-c", HANGS.format(end=end)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs tests in the background lets them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ends\n"
    time.sleep(0.3)
    program.send_signal(signal.SIGINT)
    said, _ = program.communicate(timeout=5)
    assert said.startswith("noted ['lfn:/vo/a']\n1 file on the grid could not be removed (interr")
    assert "Traceback" not in said


def journal(folder: Path) -> tuple[list[str], list[str], list[str]]:
    with open_database(folder) as database:
        catalog = Catalog(database)
        return catalog.locations(), catalog.stores(), catalog.elements("")


def test_files_are_noted_where_clean_finds_them(tmp_path: Path) -> None:
    note_in_journal(tmp_path / "grid", "SE-1", {"lfn:/vo/run/a": "busy", "lfn:/vo/run/b": "busy"})
    noted = ["lfn:/vo/run/a", "lfn:/vo/run/b"]
    assert journal(tmp_path / "grid") == (noted, ["lfn:/vo/run"], ["SE-1"])
    with JournalReader(tmp_path / "grid") as reader:  # as `clean` does
        assert reader.jobs() == []


def test_they_are_noted_beside_the_executor(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    with lock_folder(folder), open_database(folder) as database:
        Catalog(database)
        note_in_journal(folder, "", {"lfn:/vo/run/a": "busy"})
    assert journal(folder)[0] == ["lfn:/vo/run/a"]


def test_they_cannot_be_noted_where_another_run_begins(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "grid"), pytest.raises(GridError):
        note_in_journal(tmp_path / "grid", "", {"lfn:/vo/run/a": "busy"})


def test_clean_keeps_what_was_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    forget_in_journal(folder, ["lfn:/vo/run/a"])  # there is no journal
    note_in_journal(folder, "", {"lfn:/vo/run/a": "busy", "lfn:/vo/run/b": "busy"})
    with lock_folder(folder):  # by the executor
        forget_in_journal(folder, ["lfn:/vo/run/a"])
    assert journal(folder)[0] == ["lfn:/vo/run/b"]
