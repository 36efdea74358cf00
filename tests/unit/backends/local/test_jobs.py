from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.local.jobs import Job, JobTable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "site.sqlite"


def changed(table: JobTable, since: int) -> tuple[int, dict[int, tuple[str, str]]]:
    answer: Any = table.changes(since)
    return answer["version"], {job[0]: (job[1], job[2]) for job in answer["jobs"]}


def test_new_jobs_are_queued_in_order(path: Path) -> None:
    table = JobTable(path)
    jobs = [table.add(f"j{number}", 1, 100, None) for number in range(3)]
    assert [job.state for job in jobs] == ["queued"] * 3
    assert table.active() == jobs
    assert table.busy()
    assert len({job.number for job in jobs}) == 3
    assert table.get(jobs[1].number) is jobs[1]


def test_empty_table(path: Path) -> None:
    table = JobTable(path)
    assert not table.busy()
    assert table.active() == []
    assert table.get(1) is None
    assert table.find(["x"]) == {}


def test_name_is_taken_once(path: Path) -> None:
    table = JobTable(path)
    table.add("j", 1, 1, None)
    with pytest.raises(sqlite3.IntegrityError):
        table.add("j", 1, 1, None)


def test_job_that_has_ended_is_active_no_more(path: Path) -> None:
    table = JobTable(path)
    for state in ("done", "failed", "cancelled"):
        job = table.add(state, 1, 1, None)
        table.update(job, "running")
        assert job.active
        table.update(job, state)
        assert not job.active
    assert not table.busy()


def test_start_is_noted_once(path: Path) -> None:
    table = JobTable(path)
    job = table.add("j", 1, 1, None)
    table.update(job, "running")
    started = job.started
    assert time.time() - 60 < started <= time.time()
    table.update(job, "running", "again")
    assert job.started == started


def test_all_survives_a_restart(path: Path) -> None:
    table = JobTable(path)
    queued = table.add("a", 2, 300, 60.5)
    running = table.add("b", 1, 1, None)
    running.pid, running.pid_start = 12, 34
    table.update(running, "running")
    failed = table.add("c", 1, 1, None)
    table.update(failed, "failed", "it broke")
    again = JobTable(path)

    def known(job: Job | None) -> tuple[object, ...]:
        assert job is not None
        return (
            *(job.number, job.name, job.cores, job.mem_mb, job.limit, job.state, job.detail),
            *(job.pid, job.pid_start, job.started),
        )

    for job in (queued, running, failed):
        assert known(again.get(job.number)) == known(job)
    assert [job.name for job in again.active()] == ["a", "b"]


def test_number_is_not_given_out_again(path: Path) -> None:
    table = JobTable(path)
    job = table.add("a", 1, 1, None)
    table.update(job, "done")
    table.remove([job.number])
    assert JobTable(path).add("a", 1, 1, None).number > job.number


def test_changes_since_a_version(path: Path) -> None:
    table = JobTable(path)
    first, second = table.add("a", 1, 1, None), table.add("b", 1, 1, None)
    version, jobs = changed(table, 0)
    assert jobs == {first.number: ("queued", ""), second.number: ("queued", "")}
    assert changed(table, version) == (version, {})
    table.update(first, "running")
    table.update(first, "failed", "it broke")
    later, jobs = changed(table, version)
    assert later > version
    assert jobs == {first.number: ("failed", "it broke")}
    assert changed(table, later)[1] == {}


def test_changes_after_a_restart_tell_all(path: Path) -> None:
    table = JobTable(path)
    job = table.add("a", 1, 1, None)
    version, _ = changed(table, 0)
    again = JobTable(path)
    newer, jobs = changed(again, version)
    assert newer > version
    assert jobs == {job.number: ("queued", "")}


def test_find_by_name(path: Path) -> None:
    table = JobTable(path)
    job = table.add("a", 1, 1, None)
    assert table.find(["a", "b"]) == {"a": job.number}


def test_only_jobs_that_have_ended_are_removed(path: Path) -> None:
    table = JobTable(path)
    queued, done = table.add("a", 1, 1, None), table.add("b", 1, 1, None)
    table.update(done, "done")
    table.remove([queued.number, done.number, 99])
    assert table.get(done.number) is None
    assert table.find(["a", "b"]) == {"a": queued.number}
    assert changed(table, 0)[1] == {queued.number: ("queued", "")}
    again = JobTable(path)
    assert again.find(["a", "b"]) == {"a": queued.number}


def test_change_counts_even_when_the_disk_is_full(path: Path) -> None:
    table = JobTable(path)
    job = table.add("a", 1, 1, None)
    version, _ = changed(table, 0)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("DROP TABLE jobs")  # as good a reason as any for a write to fail
    table.update(job, "done")
    assert changed(table, version)[1] == {job.number: ("done", "")}
    assert not table.busy()
