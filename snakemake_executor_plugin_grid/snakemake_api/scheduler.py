"""Snakemake's scheduler, as far as it is needed to end a run early."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Scheduling:
    """The scheduler of a workflow, and what it says."""

    def __init__(self, workflow: Any) -> None:
        """Look at a workflow.

        Args:
            workflow: ``snakemake.workflow.Workflow``.
        """
        self._workflow = workflow

    def interrupt(self, error: Exception) -> None:
        """End the run when the main thread has done what it is at; from another thread."""
        # Its interface has this; all below is the scheduler's own.
        self._workflow.scheduler.executor_error_callback(error)

    @property
    def busy(self) -> bool:
        """Whether jobs run on this host, or the end of any is still to be dealt with.

        These may make others ready.
        """
        scheduler = self._workflow.scheduler
        return bool(
            scheduler._tofinish
            or scheduler._toerror
            or any(job.is_local for job in list(scheduler.running))
        )

    @property
    def has_failed(self) -> bool:
        """Whether any job has failed for good."""
        return bool(self._workflow.scheduler._errors)

    @property
    def was_stopped(self) -> bool:
        """Whether Snakemake was told, by SIGTERM, to begin no more jobs."""
        return bool(self._workflow.scheduler._user_kill)

    @staticmethod
    def unsay(texts: Iterable[str]) -> None:
        """Keep Snakemake from saying certain things, for the rest of the process.

        Of a run that leaves its jobs it says that it terminates them.
        """
        from snakemake.logging import logger

        unsaid = tuple(texts)
        logger.addFilter(lambda record: not any(text in str(record.msg) for text in unsaid))
