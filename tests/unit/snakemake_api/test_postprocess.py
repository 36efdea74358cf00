"""What goes wrong in Snakemake after a job: breaks when Snakemake changes that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from snakemake.jobs import GroupJob, Job
from snakemake.scheduling.job_scheduler import JobScheduler

from snakemake_executor_plugin_grid.snakemake_api.postprocess import fail_single_jobs
from snakemake_executor_plugin_grid.snakemake_api.scheduler import SchedulerApi

from .test_scheduler import execute

TWO = """
rule all:
    input: "bad", "good"

rule bad:
    output: "bad"
    shell: "touch {output}"

rule good:
    output: "good"
    shell: "sleep 0.5; touch {output}"
"""


@pytest.fixture
def contained(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that lets Snakemake fail after the job ``bad``; also after its failure."""

    def contain(again: bool) -> None:
        for kind in (Job, GroupJob):
            monkeypatch.setattr(kind, "postprocess", _failing(kind.postprocess, again))
        fail_single_jobs()
        fail_single_jobs()  # another run in the same program

    return contain


def _failing(postprocess: Callable[..., Awaitable[None]], again: bool) -> Any:
    async def fails(job: Any, *args: Any, error: bool = False, **options: Any) -> None:
        if job.name == "bad" and (again or not error):
            raise OSError("Missing files: bad")
        await postprocess(job, *args, error=error, **options)

    return fails


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("again", [False, True])
def test_an_error_after_a_job_fails_this_job_only(
    contained: Callable[[bool], None],
    again: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    contained(again)
    ended: list[str] = []

    def success(workflow: Any, scheduler_api: SchedulerApi, job: Any) -> None:
        ended.append(job.name)

    scheduler_api = execute(TWO, monkeypatch, success=success)
    assert scheduler_api.has_failed
    assert ended == ["good"]  # without this, the run ends before it
    assert Path("good").exists()
    assert isinstance(scheduler_api._workflow.scheduler, JobScheduler)
    assert "Missing files: bad" in caplog.text
