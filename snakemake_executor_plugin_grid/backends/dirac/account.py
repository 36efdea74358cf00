"""The server's account of a job, as the user reads it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...console.job_logs import read_text


def account(grid_id: str, history: Iterable[Sequence[str]], folder: Path) -> str:
    """Return the output of the job wrapper and the server's history of a job.

    Args:
        grid_id: Of the job.
        history: Status, minor status, application status, time and source of each change.
        folder: Has the files of the output sandbox.
    """
    lines = []
    for name in ("std.out", "std.err"):
        if (folder / name).exists():
            lines += [f"--- {name}", read_text(folder / name).rstrip()]
    lines.append(f"--- DIRAC on job {grid_id}: time, source, status, reason")
    for status, minor, application, when, source in history:
        words = [word for word in (status, minor, application) if word not in ("idem", "Unknown")]
        lines.append(f"{when}  {source}: {', '.join(words)}")
    return "\n".join(lines) + "\n"
