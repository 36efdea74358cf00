"""Records the outcome of a job in the journal, and builds its message for the user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..backends.base import Backend
from ..console import failure_message
from ..journal.records import Phase
from ..journal.writer import Journal
from ..model.errors import GridError
from ..model.tracked import Outcome, TrackedJob
from ..worker.report import SUCCESS, Report


class Outcomes:
    """Makes the outcomes of jobs."""

    def __init__(self, backend: Backend, journal: Journal) -> None:
        """Use the journal of a run.

        Args:
            backend: Runs the jobs.
            journal: Records their ends.
        """
        self._backend = backend
        self._journal = journal

    def success(self, job: TrackedJob, report: Report) -> Outcome:
        """Record that the outputs of a job are in place."""
        self._record(job, Phase.OUTPUTS_INSTALLED, report.reason, report)
        return Outcome(job.name, success=True, grid_id=job.grid_id, site=report.site)

    def failure(
        self,
        job: TrackedJob,
        reason: str,
        log: Path | None = None,
        rule_logs: Sequence[str] = (),
        report: Report | None = None,
        *,
        final: bool = True,
    ) -> Outcome:
        """Record that a job has failed.

        Args:
            job: The job.
            reason: Why.
            log: File with its output.
            rule_logs: Files that its rule calls logs.
            report: The job's own.
            final: Whether the job itself has failed. Otherwise this host has failed, and the next
                run continues with the job.
        """
        try:
            if final:
                self._record(job, Phase.FAILED, reason, report)
        except GridError as error:  # a full disk, most likely
            reason = f"{reason}; also {error}"
        monitor_url = self._backend.monitor_url(job.grid_id) if job.grid_id else ""
        text = failure_message.failure(
            job.spec, job.grid_id, self._backend.name, reason, log, rule_logs, monitor_url
        )
        return Outcome(
            job.name,
            success=False,
            message=text,
            cause=_cause(reason, report),
            logs=(str(log),) if log is not None else (),
            grid_id=job.grid_id,
            reason=report.reason if report is not None else "",
            site=report.site if report is not None else "",
        )

    def _record(self, job: TrackedJob, phase: Phase, detail: str, report: Report | None) -> None:
        text = None
        if report is not None:
            text = json.dumps({**vars(report), "returned": len(report.returned)})
        self._journal.ended(job.spec.name, phase, detail, text)


def _cause(reason: str, report: Report | None) -> str:
    """Return why a job has failed, in one line and without advice."""
    if report is not None and report.reason != SUCCESS:
        reason = f"{report.reason}: {report.message}" if report.message else report.reason
    return reason.partition("\n")[0]
