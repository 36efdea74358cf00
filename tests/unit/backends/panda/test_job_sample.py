"""Looks at single jobs: what they tell, and what they cost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda import job_sample as module
from snakemake_executor_plugin_grid.backends.panda.job_sample import AT_A_TIME
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.backends.panda.fake_panda import Bench, name


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def polled(bench: Bench, ids: list[str]) -> list[JobStatus]:
    """Return what a round tells; the background has time to look at jobs after it."""

    async def poll() -> list[JobStatus]:
        found = await bench.backend.states(ids)
        for _ in range(50):
            await asyncio.sleep(0)
        return [found[grid_id] for grid_id in ids]

    return bench.call(poll())


def test_a_job_that_no_pilot_has_does_not_run(bench: Bench) -> None:
    ids = bench.submitted(3)
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "activated", computingSite="SITE_A")
    bench.panda.run(task, name(1), "running", computingSite="SITE_B")
    task.files |= {name(0): "running"}
    unknown = JobStatus(JobState.AT_SITE)
    assert polled(bench, ids) == [unknown, unknown, JobStatus(JobState.QUEUED)]
    assert polled(bench, ids) == [
        JobStatus(JobState.AT_SITE, site="SITE_A"),
        JobStatus(JobState.RUNNING, site="SITE_B"),
        JobStatus(JobState.QUEUED),
    ]


def test_a_few_jobs_are_looked_at_once_a_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = bench.submitted(200)
    (task,) = bench.panda.tasks
    for number in range(200):
        bench.panda.run(task, name(number))
    for _ in range(3):
        polled(bench, ids)
    assert [len(numbers) for (numbers,) in bench.panda.args_of("describe_jobs")] == [AT_A_TIME]
    monkeypatch.setattr(module, "_PERIOD", 0.0)
    bench.restart()
    for _ in range(200 // AT_A_TIME + 2):
        statuses = polled(bench, ids)
    assert {status.state for status in statuses} == {JobState.RUNNING}
    looked = [len(numbers) for (numbers,) in bench.panda.args_of("describe_jobs")]
    assert max(looked) == AT_A_TIME
    calls = bench.panda.counts.copy()
    polled(bench, ids)
    assert bench.panda.counts - calls == {"status": 1, "files": 1}, "all of them are known to run"


def test_jobs_that_wait_are_looked_at_again_beside_new_ones(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.0)
    ids = bench.submitted(3 * AT_A_TIME)
    (task,) = bench.panda.tasks
    for number in range(3 * AT_A_TIME):
        bench.panda.run(task, name(number), "activated")
        task.files[name(number)] = "running"
    polled(bench, ids)
    polled(bench, ids)
    first, second = (set(numbers) for (numbers,) in bench.panda.args_of("describe_jobs"))
    assert len(first & second) == AT_A_TIME // 2
    assert len(second - first) == AT_A_TIME - AT_A_TIME // 2


def test_a_look_delays_no_round_and_its_failure_does_no_harm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.0)
    ids = bench.submitted(1)
    bench.panda.run(bench.panda.tasks[0], name(0))
    bench.panda.errors["job_ids"] = [TransientError("down")]
    assert polled(bench, ids) == [JobStatus(JobState.AT_SITE)]
    bench.panda.seconds_per_job = 1e6
    assert polled(bench, ids) == [JobStatus(JobState.AT_SITE)]
    bench.panda.seconds_per_job = 0.0
    polled(bench, ids)
    assert polled(bench, ids) == [JobStatus(JobState.RUNNING)]


def test_of_several_attempts_the_last_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.0)
    ids = bench.submitted(1, overrides={"panda_task": '{"maxAttempt": 3}'})
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "running", computingSite="SITE_A")
    polled(bench, ids)
    assert polled(bench, ids) == [JobStatus(JobState.RUNNING, site="SITE_A")]
    task.jobs[0]["jobStatus"] = "failed"
    bench.panda.run(task, name(0), "activated", computingSite="SITE_B")
    task.files[name(0)] = "ready"
    polled(bench, ids)
    task.files[name(0)] = "running"
    polled(bench, ids)
    assert polled(bench, ids) == [JobStatus(JobState.AT_SITE, site="SITE_B")]


def test_a_job_that_the_server_could_not_read_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0.0)
    ids = bench.submitted(1)
    (task,) = bench.panda.tasks
    number = bench.panda.run(task, name(0))
    unreadable = {"PandaID": number, "jobStatus": "unknown", "jobParameters": None}
    with monkeypatch.context() as patch:
        patch.setattr(bench.panda, "describe_jobs", lambda ids: [unreadable])
        polled(bench, ids)
    polled(bench, ids)
    assert polled(bench, ids) == [JobStatus(JobState.RUNNING)]


def test_failed_jobs_that_take_long_to_describe_delay_no_round(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server has needed 228 s for 200 of them, and a round has 90 s."""
    from snakemake_executor_plugin_grid.backends.panda import following

    monkeypatch.setattr(following, "_DETAILS_WAIT", 0.01)
    monkeypatch.setattr(following, "_ROUND", 1.0)
    ids = bench.submitted(2)
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "failed")
    task.files[name(1)] = "finished"
    bench.panda.seconds_per_job = 0.05

    async def rounds() -> list[list[JobState]]:
        seen = []
        for _ in range(3):
            found = await bench.backend.states(ids)
            seen.append([found[grid_id].state for grid_id in ids])
            await asyncio.sleep(0.06)
        return seen

    seen = bench.call(rounds())
    assert seen[0] == [JobState.QUEUED, JobState.DONE]
    assert seen[-1] == [JobState.FAILED, JobState.DONE]
    assert bench.panda.counts["failed_jobs"] == 1, "the question that was open was not repeated"
