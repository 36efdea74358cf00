from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal import reader as module
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER, Database
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.journal.write_queue import Write
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.specs import spec, tracked


class Settled(Database):
    """Has written a change when the call returns, for those who read the file."""

    def write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> Write:
        write = super().write(statement, rows)
        write.wait()
        return write


class Past:
    """A directory in which runs have been, as their journal tells it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.folder = directory / FOLDER
        self.database = Settled(self.folder / DATABASE_FILE)
        self.journal = Journal(self.database, "run0", "dirac")

    def run(self, name: str, backend: str = "dirac", /, **settings: Any) -> Journal:
        """Begin a run, whose journal the jobs that follow are written to."""
        self.journal = Journal(self.database, name, backend)
        self.journal.begin_run("file:///store", {"backend": backend, **settings})
        return self.journal

    def job(
        self,
        name: str,
        rule: str = "align",
        sample: str = "a",
        grid_id: str | None = None,
        *,
        origin: str = "",
        said: JobStatus | None = None,
        **fields: Any,
    ) -> str:
        """Submit a job; it stays as the arguments leave it."""
        made = spec(
            name,
            rule=rule,
            wildcards=(("sample", sample),) if sample else (),
            outputs=(Output(f"work/{rule}.{sample}"),),
            **fields,
        )
        self.journal.submitting([tracked(made, origin=origin, began=1000.0)])
        if grid_id is not None:
            self.journal.submitted({name: grid_id})
        if said is not None:
            self.journal.seen({name: said})
        return name

    def put(self, name: str, **columns: Any) -> None:
        """Set columns of a job, such as its times."""
        setters = ", ".join(f"{column}=?" for column in columns)
        self.database.change(f"UPDATE jobs SET {setters} WHERE name=?", [(*columns.values(), name)])  # noqa: S608

    def put_run(self, name: str, **columns: Any) -> None:
        """Set columns of a run."""
        setters = ", ".join(f"{column}=?" for column in columns)
        self.database.change(f"UPDATE runs SET {setters} WHERE name=?", [(*columns.values(), name)])  # noqa: S608

    def log(self, name: str, text: str) -> Path:
        """Write what came back as a job's output."""
        path = self.folder / "logs" / f"{name}.log"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def records(self) -> dict[str, JobRecord]:
        """Return what the journal says of all jobs."""
        reader = JournalReader(self.folder)
        try:
            return {job.name: job for job in reader.jobs()}
        finally:
            reader.close()


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    made = Past(tmp_path / "project")
    yield made
    made.database.close()


def test_runs_come_with_their_options_and_their_end(past: Past) -> None:
    past.run("run2", "panda", site="X").end_run("left", 10, 20)
    past.run("run1")
    past.put_run("run1", started=1.0)
    reader = JournalReader(past.folder)
    first, second = reader.runs()
    reader.close()
    assert (first.name, first.backend, first.ended, first.end) == ("run1", "dirac", None, "")
    assert first.pid == os.getpid()
    assert second.settings == {"backend": "panda", "site": "X"}
    assert (second.end, second.stored_bytes, second.reused_bytes) == ("left", 10, 20)


def test_a_job_as_it_was_submitted_and_as_it_ended(past: Past) -> None:
    past.run("run1")
    past.job("a-1", grid_id="7", resources=Resources(2, 500), attempt=3, jobid="9")
    past.journal.seen({"a-1": JobStatus(JobState.RUNNING, "", "SITE")})
    past.journal.seen({"a-1": JobStatus(JobState.DONE)})
    past.journal.ended("a-1", Phase.OUTPUTS_INSTALLED, "success", json.dumps({"host": "wn1"}))
    job = past.records()["a-1"]
    assert (job.title, job.run, job.rule, job.jobid, job.attempt) == (
        *("align (sample=a)", "run1", "align", "9", 3),
    )
    assert (job.grid_id, job.phase, job.state, job.site) == (
        "7",
        Phase.OUTPUTS_INSTALLED,
        "done",
        "SITE",
    )
    assert job.outputs == ("work/align.a",)
    assert (job.requested["processors"], job.requested["memory_mb"]) == (2, 500)
    assert job.report == {"host": "wn1"}
    assert job.began == 1000.0
    times = [job.began, job.sent, job.accepted, job.running, job.ended, job.finished]
    assert all(times)
    assert times == sorted(times, key=float)  # type: ignore[arg-type]


def test_what_has_not_happened_has_no_time(past: Past) -> None:
    past.run("run1")
    past.job("a-1", sample="")
    job = past.records()["a-1"]
    assert job.title == "align"
    assert (job.grid_id, job.phase, job.state) == (None, Phase.SUBMITTING, "")
    assert (job.accepted, job.running, job.ended, job.finished, job.report) == (*[None] * 4, {})


def test_submissions_come_in_their_order(past: Past) -> None:
    past.run("run1")
    for name, sent in (("a-1", 3.0), ("a-2", 1.0), ("a-1.1", 2.0)):
        past.job(name, origin="a-1" if "." in name else "")
        past.put(name, sent=sent)
    assert list(past.records()) == ["a-2", "a-1.1", "a-1"]
    assert [job.origin for job in past.records().values()] == ["a-2", "a-1", "a-1"]


def test_it_reads_what_another_connection_writes_meanwhile(past: Past) -> None:
    past.run("run1")
    reader = JournalReader(past.folder)
    assert reader.jobs() == []
    past.job("a-1")
    assert [job.name for job in reader.jobs()] == ["a-1"]
    reader.close()


def test_nothing_is_written(past: Past) -> None:
    reader = JournalReader(past.folder)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM jobs")
    reader.close()


def test_where_nothing_can_be_written_a_copy_is_read(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("run1")
    past.job("a-1")
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    connect = sqlite3.connect

    def refuse(database: str, **options: Any) -> sqlite3.Connection:
        if copies.as_uri() not in database:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(database, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    reader = JournalReader(past.folder)
    assert [job.name for job in reader.jobs()] == ["a-1"]
    reader.close()
    assert list(copies.iterdir()) == []


@pytest.mark.parametrize("content", [b"not a database, but longer than its header" * 9, b""])
def test_a_file_that_is_no_journal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(content)
    with pytest.raises(GridError, match=rf"{DATABASE_FILE}: cannot be read"):
        JournalReader(tmp_path)


def test_of_jobs_that_have_not_changed_nothing_is_parsed_again(past: Past) -> None:
    """As `status --watch` reads all of them every five seconds."""
    past.run("run1")
    past.job("a-1", sample="a", grid_id="1")
    past.job("a-2", sample="b", grid_id="2")
    past.journal.ended("a-1", Phase.SUCCEEDED, "", json.dumps({"host": "wn1"}))
    with JournalReader(past.folder) as reader:
        before = {job.name: job for job in reader.jobs()}
        past.journal.ended("a-2", Phase.FAILED, "why")
        after = {job.name: job for job in reader.jobs()}
    assert after["a-1"] is before["a-1"]
    assert (before["a-2"].detail, after["a-2"].detail) == ("", "why")


def test_a_copy_is_renewed_when_a_run_has_written(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    past.database.query("PRAGMA wal_checkpoint(TRUNCATE)")
    monkeypatch.setattr(module, "is_local", lambda _: False)  # and it is in write-ahead mode
    with JournalReader(past.folder) as reader:
        assert [job.grid_id for job in reader.jobs()] == ["1"]
        past.journal.submitted({"a-1": "2"})
        assert [job.grid_id for job in reader.jobs()] == ["2"]
