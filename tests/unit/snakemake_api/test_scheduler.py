"""How Snakemake's scheduler runs and ends a workflow: breaks when that changes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.executors.local import Executor as LocalExecutor
from snakemake.logging import logger
from snakemake.scheduling.greedy import SchedulerSettings as GreedySettings
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings import types as options
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_grid.snakemake_api.scheduler import (
    FAILURE_MESSAGES,
    TERMINATION_MESSAGES,
    SchedulerApi,
)
from tests.unit.snakemake_api.dags import QUIET

Hook = Callable[[Any, SchedulerApi, Any], None]


def execute(
    snakefile: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    running: Hook = lambda *_: None,
    success: Hook = lambda *_: None,
) -> SchedulerApi:
    """Run a workflow locally with an executor that calls hooks; its jobs count as grid jobs.

    Args:
        snakefile: The workflow.
        monkeypatch: Undoes the hooks.
        running: Called with workflow, scheduler and jobs when jobs start.
        success: Called with workflow, scheduler and a job that has succeeded.
    """
    Path("Snakefile").write_text(snakefile)
    found: list[SchedulerApi] = []

    run_jobs, handle_job_success = LocalExecutor.run_jobs, LocalExecutor.handle_job_success

    def hooked_run_jobs(executor: Any, jobs: list[Any]) -> None:
        found.append(SchedulerApi(executor.workflow))
        running(executor.workflow, found[-1], jobs)
        run_jobs(executor, jobs)

    def hooked_success(executor: Any, job: Any) -> None:
        handle_job_success(executor, job)
        success(executor.workflow, SchedulerApi(executor.workflow), job)

    monkeypatch.setattr(LocalExecutor, "run_jobs", hooked_run_jobs)
    monkeypatch.setattr(LocalExecutor, "handle_job_success", hooked_success)
    monkeypatch.setattr("snakemake.workflow.Workflow.is_local", lambda *_: False)
    with SnakemakeApi(QUIET) as api:
        workflow_api = api.workflow(
            resource_settings=options.ResourceSettings(cores=2), snakefile=Path("Snakefile")
        )
        dag_api = workflow_api.dag(options.DAGSettings())
        try:
            dag_api.execute_workflow(
                executor="local",
                execution_settings=options.ExecutionSettings(latency_wait=1),
                scheduler_settings=GreedySettings(),
                greedy_scheduler_settings=GreedySettings(),
                scheduling_settings=options.SchedulingSettings(scheduler="greedy"),
            )
        except WorkflowError as error:
            api.print_exception(error)  # as the command line does
    return found[-1]


TWO = """
rule second:
    input: "one"
    output: "two"
    shell: "touch {output}"

rule first:
    output: "one"
    shell: "touch {output}"
"""


@pytest.mark.usefixtures("build")
def test_a_success_is_reported_after_snakemake_has_recorded_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, bool, list[Any]]] = []

    def success(workflow: Any, scheduler_api: SchedulerApi, job: Any) -> None:
        persistence = workflow.persistence
        persistence._clear_cache()
        noted = persistence.metadata(job.output[0]) is not None
        keys = [persistence._get_key(path) for path in job.output]
        seen.append((job.name, noted, list(persistence._filter_incomplete_keys(keys))))

    execute(TWO, monkeypatch, success=success)
    assert seen == [("first", True, []), ("second", True, [])]


@pytest.mark.usefixtures("build")
def test_the_scheduler_is_busy_while_an_ended_job_is_processed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy: list[tuple[str, bool]] = []

    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        assert set(jobs) <= set(workflow.scheduler.running)
        busy.append(("running", scheduler_api.busy))
        monkeypatch.setattr(type(jobs[0]), "is_local", True)
        busy.append(("here", scheduler_api.busy))
        monkeypatch.setattr(type(jobs[0]), "is_local", False)

    def success(workflow: Any, scheduler_api: SchedulerApi, job: Any) -> None:
        busy.append(("success", scheduler_api.busy))

    scheduler_api = execute(TWO, monkeypatch, running=running, success=success)
    assert busy == [("running", False), ("here", True), ("success", True)] * 2
    assert not scheduler_api.busy
    assert not scheduler_api.has_failed


@pytest.mark.usefixtures("build")
def test_a_failure_is_known_to_the_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = TWO.replace('output: "one"\n    shell: "touch', 'output: "one"\n    shell: "false')
    assert failing != TWO
    assert execute(failing, monkeypatch).has_failed


@pytest.mark.usefixtures("build")
def test_sigterm_is_handled_in_place_of_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[int] = []
    its_own = JobScheduler.exit_gracefully
    SchedulerApi.handle_sigterm(lambda number, _: came.append(number))  # as an executor is made

    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        assert JobScheduler.exit_gracefully is its_own  # for the next workflow of this process
        with workflow.scheduler._lock:
            os.kill(os.getpid(), signal.SIGTERM)

    former = signal.getsignal(signal.SIGTERM)
    try:
        scheduler_api = execute(TWO, monkeypatch, running=running)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert came == [signal.SIGTERM] * 2
    assert not scheduler_api.has_failed


@pytest.mark.usefixtures("build")
def test_jobs_of_this_host_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = TWO.replace(
        'output: "one"\n    shell: "touch', 'output: "one"\n    shell: "sleep 60;'
    )
    assert endless != TWO
    threads: list[threading.Thread] = []
    came: list[Any] = []

    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        monkeypatch.setattr(type(jobs[0]), "is_local", True)
        came.extend(jobs)

        def end() -> None:
            while scheduler_api._runs_local_jobs:
                scheduler_api.end_local_jobs()

        threads.append(threading.Thread(target=end))
        threads[-1].start()

    began = time.monotonic()
    scheduler_api = execute(endless, monkeypatch, running=running)
    assert time.monotonic() - began < 50
    threads[-1].join()
    assert [job.name for job in came] == ["first"]
    assert scheduler_api.has_failed_for_good(came[0])


@pytest.mark.usefixtures("build")
def test_a_run_is_interrupted_from_another_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        begun.extend(job.name for job in jobs)
        error = WorkflowError("it is enough")
        thread = threading.Thread(target=scheduler_api.interrupt, args=(error,))
        thread.start()
        thread.join()

    scheduler_api = execute(TWO, monkeypatch, running=running)
    assert begun == ["first"]
    assert not scheduler_api.has_failed
    assert "it is enough" in caplog.text
    assert "Shutting down, this might take some time" in caplog.text
    for text in FAILURE_MESSAGES:
        assert text in caplog.text


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("how", ["interrupt", "keyboard"])
def test_messages_are_suppressed_in_a_run_that_leaves_its_jobs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(logger, "filters", [])  # restored after the test
    detached = "the run is detached"

    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        scheduler_api.suppress([detached, *TERMINATION_MESSAGES, *FAILURE_MESSAGES])
        if how == "keyboard":
            raise KeyboardInterrupt
        scheduler_api.interrupt(WorkflowError(detached))

    execute(TWO, monkeypatch, running=running)
    logger.info("what else is said")
    said = [record.getMessage() for record in caplog.records]
    assert "what else is said" in said
    for text in (detached, *TERMINATION_MESSAGES, *FAILURE_MESSAGES):
        assert not [message for message in said if text in message]


@pytest.mark.usefixtures("build")
def test_a_run_that_is_interrupted_by_the_keyboard_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def running(workflow: Any, scheduler_api: SchedulerApi, jobs: list[Any]) -> None:
        raise KeyboardInterrupt

    execute(TWO, monkeypatch, running=running)
    assert "Terminating processes on user request" in caplog.text
