"""The message about a failed job: why it failed, the end of its logs, what to do."""

from __future__ import annotations

from pathlib import Path

from ..model.job import JobSpec
from ..model.state import JobStatus
from ..model.untrusted import printable_lines
from ..worker import report as reports
from ..worker.report import Report
from .hints import Maker, hint
from .job_logs import JobLogs


def failure(
    spec: JobSpec,
    grid_id: str | None,
    backend: str,
    reason: str,
    logs: JobLogs | None = None,
    monitor_url: str = "",
) -> str:
    """Return the message about a failed job.

    Args:
        spec: The job.
        grid_id: Its id on the grid, None if it never got one.
        backend: Name of the backend.
        reason: Why it failed, in words.
        logs: What it left to read.
        monitor_url: Web page of the job, empty if there is none.
    """
    where = f"{backend} job {grid_id}" if grid_id else "not submitted"
    lines = [f"{spec.title}, {where}: {reason.rstrip('.')}."]
    if logs is not None:
        lines += logs.excerpt()
        if logs.log is not None:
            lines.append(f"Its whole output: {logs.log}")
    if monitor_url:
        lines.append(f"On the web: {monitor_url}")
    return printable_lines("\n".join(lines)) + "\n"


def reason_of(report: Report, workdir: Path, logs: JobLogs, made_by: Maker) -> str:
    """Return why a job failed, in words, and what to do if that is known.

    Args:
        report: The job's own.
        workdir: Of the workflow.
        logs: What the job left to read.
        made_by: Names the job that made an undeclared file.
    """
    text = cause_of(report, logs)
    where = f" (host {report.host}{f', site {report.site}' if report.site else ''})"
    advice = hint(report, workdir, logs, made_by)
    return f"{text}{where}; {advice}" if advice else text + where


def cause_of(report: Report, logs: JobLogs | None) -> str:
    """Return why a job failed, without where and without advice."""
    message = report.message
    # The payload is Snakemake, which ends with 1 whatever the rule's command ends with.
    if report.reason == reports.PAYLOAD_FAILED and logs is not None and logs.output.ending:
        message = logs.output.ending
    return f"{report.reason}: {message}" if message else report.reason


def without_report(status: JobStatus) -> str:
    """Return the reason for a job that ended and left no report."""
    detail = f": {status.detail}" if status.detail else ""
    return f"it ended as {status.state.value} and no report came back{detail}"
