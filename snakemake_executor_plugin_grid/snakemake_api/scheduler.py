"""Snakemake's scheduler: what a run needs to know to end early."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TERMINATION_MESSAGES = (
    "Terminating processes on user request",
    "Shutting down, this might take some time",
)
FAILURE_MESSAGES = (
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
)


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

    @property
    def was_stopped(self) -> bool:
        """Whether SIGTERM has told Snakemake to start no more jobs."""
        return bool(self._workflow.scheduler._user_kill)

    @staticmethod
    def suppress(texts: Iterable[str]) -> None:
        """Suppress messages of Snakemake that contain one of the texts, until the process ends.

        Some are wrong for a run that leaves its jobs on the grid.
        """
        from snakemake.logging import logger

        suppressed = tuple(texts)
        logger.addFilter(lambda record: not any(text in str(record.msg) for text in suppressed))
