"""Snakemake's scheduler: what a run needs to know to end early."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

TERMINATION_MESSAGES = (
    "Terminating processes on user request",
    "Shutting down, this might take some time",
)
FAILURE_MESSAGES = (
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)
_MOMENT = 1.0
_TICK = 0.1


class SchedulerApi:
    """The scheduler of a workflow, and its messages."""

    def __init__(self, workflow: Any) -> None:
        """Create the view of a ``snakemake.workflow.Workflow``."""
        self._workflow = workflow

    def interrupt(self, error: Exception) -> None:
        """End the run after the current step of the main thread; called from another thread."""
        # Part of the scheduler's interface, unlike everything below.
        self._workflow.scheduler.executor_error_callback(error)

    @property
    def busy(self) -> bool:
        """Whether local jobs run, or ended jobs wait to be processed: both may start others."""
        scheduler = self._workflow.scheduler
        return bool(
            scheduler._tofinish
            or scheduler._toerror
            or any(job.is_local for job in list(scheduler.running))
        )

    @property
    def has_failed(self) -> bool:
        """Whether any job has failed after all its retries."""
        return bool(self._workflow.scheduler._errors)

    def has_failed_for_good(self, job: Any) -> bool:
        """Return whether a job has failed and is not tried again."""
        return job in self._workflow.scheduler.failed

    @staticmethod
    def handle_sigterm(handler: Callable[..., None]) -> None:
        """Have a function handle SIGTERM; called while Snakemake makes the executor.

        Snakemake installs a handler of its own just afterwards, so this replaces that one, for
        this once. Its own waits for all running jobs, and for a lock that it may hold itself.
        """
        from snakemake.scheduling.job_scheduler import JobScheduler

        its_own = JobScheduler.exit_gracefully

        def look_up(_: JobScheduler) -> Callable[..., None]:
            JobScheduler.exit_gracefully = its_own
            return handler

        JobScheduler.exit_gracefully = property(look_up)

    def end_local_jobs(self) -> None:
        """End the processes of jobs that run on this host, and wait a moment for that.

        They are in the process group of Snakemake, unlike the clients of a grid.
        """
        import psutil

        until = time.monotonic() + _MOMENT
        while self._runs_local_jobs and time.monotonic() < until:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error, ProcessLookupError):
                    if os.getpgid(process.pid) == os.getpgrp():
                        process.terminate()
            time.sleep(_TICK)

    @property
    def _runs_local_jobs(self) -> bool:
        scheduler = self._workflow.scheduler
        ended = {*scheduler._tofinish, *scheduler._toerror}
        return any(job.is_local and job not in ended for job in list(scheduler.running))

    def unlock(self) -> None:
        """Remove Snakemake's lock, before the process is ended."""
        self._workflow.persistence.unlock()

    @staticmethod
    def suppress(texts: Iterable[str]) -> None:
        """Suppress messages of Snakemake that contain one of the texts, until the process ends.

        Some are wrong for a run that leaves its jobs on the grid.
        """
        from snakemake.logging import logger

        suppressed = tuple(texts)
        logger.addFilter(lambda record: not any(text in str(record.msg) for text in suppressed))
