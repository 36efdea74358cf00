"""Records the outcome of a job in the journal, and builds its message for the user."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..backends.base import Backend
from ..console import failure_message
from ..console.job_logs import JobLogs
from ..grid_data.files import GridFiles
from ..journal.records import Phase
from ..journal.write_queue import Write
from ..journal.writer import Journal
from ..model.errors import GridError
from ..model.report import for_journal
from ..model.tracked import Outcome, TrackedJob
from ..model.untrusted import printable_lines
from ..worker.report import SUCCESS, Report
from .undeclared import UndeclaredFiles


class Outcomes:
    """Makes the outcomes of jobs.

    Attributes:
        undeclared: Finds the jobs that left files undeclared.
    """

    def __init__(self, backend: Backend, journal: Journal, grid_files: GridFiles) -> None:
        """Use the journal of a run.

        Args:
            backend: Runs the jobs.
            journal: Records their ends.
            grid_files: Knows the files that stay on the grid.
        """
        self._grid_files = grid_files
        self._backend = backend
        self._journal = journal
        self.undeclared = UndeclaredFiles(journal)

    def success(self, job: TrackedJob, report: Report, rule_logs: Iterable[str] = ()) -> Outcome:
        """Record that the outputs of a job are in place; blocks until that is on disk.

        Args:
            job: The job.
            report: The job's own.
            rule_logs: Files that its rule calls logs.
        """
        self._record(job, Phase.OUTPUTS_INSTALLED, report.reason, report, rule_logs).wait()
        self.undeclared.note(job.spec.title, report.undeclared)
        return Outcome(job.name, success=True, grid_id=job.grid_id, site=report.site)

    def failure(
        self,
        job: TrackedJob,
        reason: str,
        logs: JobLogs | None = None,
        report: Report | None = None,
    ) -> Outcome:
        """Record that a job has failed; blocks until that is on disk.

        Args:
            job: The job.
            reason: Why.
            logs: What it left to read.
            report: The job's own.
        """
        reason = printable_lines(reason)
        names = logs.rule_logs if logs is not None else ()
        try:
            self._record(job, Phase.FAILED, reason, report, names).wait()
        except GridError as error:  # a full disk, most likely
            reason = f"{reason}; also {error}"
        return self._failed(job, reason, logs, report)

    async def fail(self, job: TrackedJob, reason: str, *, final: bool = True) -> Outcome:
        """Do the same for a job without a report, in the event loop, which goes on meanwhile.

        Args:
            job: The job.
            reason: Why.
            final: Whether the job itself has failed. Otherwise this host has failed, and the next
                run continues with the job.
        """
        reason = printable_lines(reason)
        try:
            if final:
                await self._record(job, Phase.FAILED, reason)
        except GridError as error:
            reason = f"{reason}; also {error}"
        return self._failed(job, reason)

    def _failed(
        self,
        job: TrackedJob,
        reason: str,
        logs: JobLogs | None = None,
        report: Report | None = None,
    ) -> Outcome:
        self._grid_files.failed(job.spec, report)
        monitor_url = self._backend.monitor_url(job.grid_id) if job.grid_id else ""
        text = failure_message.failure(
            job.spec, job.grid_id, self._backend.name, reason, logs, monitor_url
        )
        return Outcome(
            job.name,
            success=False,
            message=text,
            cause=_cause(reason, logs, report),
            logs=(str(logs.log),) if logs is not None and logs.log is not None else (),
            grid_id=job.grid_id,
            reason=report.reason if report is not None else "",
            site=report.site if report is not None else "",
        )

    def _record(
        self,
        job: TrackedJob,
        phase: Phase,
        detail: str,
        report: Report | None = None,
        rule_logs: Iterable[str] = (),
    ) -> Write:
        text = None
        if report is not None:
            text = json.dumps(for_journal(report, rule_logs))
        return self._journal.ended(job.spec.name, phase, detail, text)


def _cause(reason: str, logs: JobLogs | None, report: Report | None) -> str:
    """Return why a job has failed, in one line and without advice."""
    if report is not None and report.reason != SUCCESS:
        reason = failure_message.cause_of(report, logs)
    return reason.partition("\n")[0]
