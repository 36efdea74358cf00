from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.state import JobState
from tests.unit.backends.dirac.dirac_bench import Bench


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, **{"options": Options(), **getattr(request, "param", {})})


def test_states_are_asked_for_a_thousand_at_a_time(bench: Bench) -> None:
    bench.dirac.max_parametric = bench.dirac.allowed = 3000
    ids = bench.submitted(2500)
    statuses = bench.call(bench.backend.states(ids))
    assert len(statuses) == 2500
    assert [len(args[0]) for args in bench.dirac.args_of("states")] == [1000, 1000, 500]
    assert bench.dirac.counts["sites"] == 0  # all wait


def test_ids_that_the_server_does_not_know_are_left_out(bench: Bench) -> None:
    (known,) = bench.submitted(1)
    assert bench.call(bench.backend.states([known, "77"])).keys() == {known}


def test_sites_are_asked_for_once_and_again_after_a_reschedule(bench: Bench) -> None:
    ids = bench.submitted(3)
    bench.call(bench.backend.states(ids))
    for number in (1, 2):
        bench.dirac.jobs[number].status, bench.dirac.jobs[number].site = "Running", "DIRAC.A.test"
    for _ in range(3):
        statuses = bench.call(bench.backend.states(ids))
        assert [statuses[grid_id].site for grid_id in ids] == ["DIRAC.A.test"] * 2 + [""]
    assert bench.dirac.args_of("sites") == [([1, 2],)]
    assert bench.dirac.counts["states"] == 4
    bench.dirac.jobs[1].status = "Rescheduled"
    bench.call(bench.backend.states(ids))
    bench.dirac.jobs[1].status, bench.dirac.jobs[1].site = "Running", "DIRAC.B.test"
    assert bench.call(bench.backend.states(ids))["1"].site == "DIRAC.B.test"


def test_the_site_of_a_job_that_failed_at_once_is_told(bench: Bench) -> None:
    ids = bench.submitted(1)
    job = bench.dirac.jobs[1]
    job.status, job.minor, job.site = "Failed", "Job stalled: pilot not running", "DIRAC.A.test"
    (status,) = bench.call(bench.backend.states(ids)).values()
    assert (status.state, status.site) == (JobState.FAILED, "DIRAC.A.test")
    assert status.infrastructure
    assert bench.backend.blames_site(status, "")


def test_a_killed_job_that_comes_back_has_not_ended(bench: Bench) -> None:
    ids = bench.submitted(1)
    for dirac, state in (("Killed", JobState.RUNNING), ("Running", JobState.RUNNING)):
        bench.dirac.jobs[1].status = dirac
        assert bench.call(bench.backend.states(ids))["1"].state is state
    bench.dirac.jobs[1].status, bench.dirac.jobs[1].minor = "Failed", "Received Kill signal"
    assert bench.call(bench.backend.states(ids))["1"].state is JobState.CANCELLED


def test_a_job_that_was_given_up_and_came_back_was_not_killed_by_somebody(bench: Bench) -> None:
    ids = bench.submitted(2)
    for number in (1, 2):
        job = bench.dirac.jobs[number]
        job.status, job.minor, job.site = "Failed", "Received Kill signal", "DIRAC.A.test"
    given_up = ["Failed", "Job stalled: pilot not running", "idem", "13:55:29", "StalledJobAgent"]
    killed = ["Failed", "Received Kill signal", "idem", "13:55:42", "JobWrapper@DIRAC.A.test"]
    bench.dirac.jobs[1].history = [given_up, killed]
    bench.dirac.jobs[2].history = [
        ["Killed", "Marked for termination", "idem", "13:55:29", "JobManager"],
        killed,
    ]
    found = bench.call(bench.backend.states(ids))
    assert [found[grid_id].state for grid_id in ids] == [JobState.FAILED, JobState.CANCELLED]
    assert [found[grid_id].infrastructure for grid_id in ids] == [True, False]
    assert [found[grid_id].site for grid_id in ids] == ["DIRAC.A.test"] * 2
    assert "stalled" in found[ids[0]].detail
    bench.call(bench.backend.states(ids))
    assert bench.dirac.counts["history"] == 2, "each is asked for once"


def test_a_history_that_is_refused_leaves_a_killed_job_killed(bench: Bench) -> None:
    ids = bench.submitted(2)
    for number in (1, 2):
        job = bench.dirac.jobs[number]
        job.status, job.minor = "Failed", "Received Kill signal"

    def refused(number: int) -> list[list[str]]:
        raise PermanentError(f"no history of {number}")

    bench.dirac.history = refused  # type: ignore[method-assign]
    found = bench.call(bench.backend.states(ids))
    assert [found[grid_id].state for grid_id in ids] == [JobState.CANCELLED] * 2


def test_what_was_not_killed_and_has_not_ended_is_not_confirmed(bench: Bench) -> None:
    ids = bench.submitted(4)
    bench.dirac.jobs[2].status = "Done"
    kill = bench.dirac.kill
    bench.dirac.kill = lambda ids: kill([n for n in ids if n != 3])  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel([*ids, "77"][:4])) == {"3"}
    assert [bench.dirac.jobs[number].status for number in (1, 4)] == ["Killed"] * 2
    assert len(bench.dirac.args_of("kill")) == 1


def test_jobs_that_the_server_no_longer_has_count_as_cancelled(bench: Bench) -> None:
    bench.dirac.kill = lambda ids: []  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(["77"])) == set()


DIGEST = "5" * 64


def test_report_log_and_blobs_are_put_where_the_landing_looks(bench: Bench, tmp_path: Path) -> None:
    (grid_id,) = bench.submitted(1)
    bench.dirac.jobs[1].sandbox = {
        "report.json": b"{}",
        "payload.log": b"it said",
        f"{DIGEST}.blob": b"blob",
        "short.blob": b"no digest",
    }
    folder = tmp_path / "incoming"
    folder.mkdir()
    bench.call(bench.backend.retrieve(grid_id, folder))
    found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert found == {
        "report.json": "{}",
        "payload.log": "it said",
        f"out/{DIGEST}": "blob",
        "short.blob": "no digest",
    }
    assert bench.dirac.counts["history"] == 0
    assert bench.call(bench.backend.logs(grid_id)).startswith("it said--- ")


def test_of_a_job_without_a_report_the_log_is_what_the_server_knows(
    bench: Bench, tmp_path: Path
) -> None:
    (grid_id,) = bench.submitted(1)
    job = bench.dirac.jobs[1]
    job.sandbox = {"std.out": b"out of\nwrapper\n", "std.err": b"error\n"}
    job.history = [
        ["Received", "Job accepted", "Unknown", "2026-11-21 03:00:00", "JobManager"],
        ["Failed", "Stalled", "idem", "2026-11-21 03:09:00", "StalledJobAgent"],
    ]
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert (tmp_path / "payload.log").read_text() == (
        "--- std.out\nout of\nwrapper\n--- std.err\nerror\n"
        "--- DIRAC on job 1: time, source, status, reason\n"
        "2026-11-21 03:00:00  JobManager: Received, Job accepted\n"
        "2026-11-21 03:09:00  StalledJobAgent: Failed, Stalled\n"
    )
    assert not (tmp_path / "report.json").exists()
