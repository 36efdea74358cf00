"""The message about a failed job: why it failed, the end of its output, what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..model.job import JobSpec
from ..model.state import JobStatus
from ..model.untrusted import UntrustedError, open_untrusted, printable_lines
from ..snakemake_api.output import lacks_storage_plugin, rule_output
from ..worker import report as reports
from ..worker.report import Report
from .format import listed

_TAIL_LINES = 20
_SEARCHED_LINES = 200
_TAIL_BYTES = 16 << 10
_MISSING = ("No such file or directory", "FileNotFoundError", "MissingInput")


def failure(
    spec: JobSpec,
    grid_id: str | None,
    backend: str,
    reason: str,
    log: Path | None = None,
    rule_logs: Sequence[str] = (),
    monitor_url: str = "",
) -> str:
    """Return the message about a failed job.

    Args:
        spec: The job.
        grid_id: Its id on the grid, None if it never got one.
        backend: Name of the backend.
        reason: Why it failed, in words.
        log: File with the payload's output.
        rule_logs: Paths of the rule's own logs that came back.
        monitor_url: Web page of the job, empty if there is none.
    """
    where = f"{backend} job {grid_id}" if grid_id else "not submitted"
    lines = [f"{spec.title}, {where}: {reason.rstrip('.')}."]
    tail = rule_output(read_tail(log, _SEARCHED_LINES))[-_TAIL_LINES:] if log is not None else []
    if tail:
        lines.append("Last lines of its output:")
        lines += [f"    {line}" for line in tail]
    if log is not None:
        lines.append(f"Its whole output: {log}")
    if rule_logs:
        lines.append(f"Logs of the rule: {', '.join(rule_logs)}")
    if monitor_url:
        lines.append(f"On the web: {monitor_url}")
    return printable_lines("\n".join(lines)) + "\n"


def reason_of(report: Report, workdir: Path, log: Path | None) -> str:
    """Return why a job failed, in words, and what to do if that is known."""
    text = f"{report.reason}: {report.message}" if report.message else report.reason
    where = f" (host {report.host}{f', site {report.site}' if report.site else ''})"
    return text + where + _hint(report, workdir, log)


def _hint(report: Report, workdir: Path, log: Path | None) -> str:
    if report.reason == reports.OUTPUT_MISSING and report.undeclared:
        names = listed([name.partition("/")[2] for name in report.undeclared])
        return f"; files it made that no rule names: {names}"
    if report.reason != reports.PAYLOAD_FAILED or log is None:
        return ""
    text = "\n".join(read_tail(log, _SEARCHED_LINES))
    if re.search(rf"(?<![\w./-]){re.escape(str(workdir))}(?![\w.-])", text):
        return (
            f"; its output mentions {workdir}, which exists on the submit host only: use paths "
            "relative to the working directory"
        )
    if lacks_storage_plugin(text):
        return (
            "; the worker's Snakemake lacks a storage plugin, or has another version of it: ship "
            "it by --grid-runtime wheels, or install it where --grid-runtime-setup or "
            "--grid-runtime-image finds Snakemake"
        )
    if any(sign in text for sign in _MISSING):
        return (
            "; if the workflow reads the missing file without declaring it as input, add "
            "--grid-include FILE"
        )
    if "No module named snakemake" in text:
        return "; the python of the worker has no Snakemake: see --grid-runtime"
    return ""


def without_report(status: JobStatus) -> str:
    """Return the reason for a job that ended and left no report."""
    detail = f": {status.detail}" if status.detail else ""
    return f"it ended as {status.state.value} and no report came back{detail}"


def read_tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """Return the last lines of a file that are not blank, none if it cannot be read."""
    try:
        with open_untrusted(path) as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except (OSError, UntrustedError):
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
