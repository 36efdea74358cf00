"""Snakemake's marks of outputs that are not complete."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any

from .workflow import Internals


def marked_incomplete(workflow: Any, paths: Iterable[str]) -> set[str]:
    """Return those of some outputs, as the workflow names them, that are marked as incomplete."""
    # Its own question is after jobs of the DAG, and only after files that are there.
    return set(workflow.persistence._filter_incomplete_keys(list(paths)))


def mark_incomplete(job: Any, grid_id: str, seconds: float) -> None:
    """Mark the outputs of a job as being made, until Snakemake notes that they are complete.

    Args:
        job: Single job or group.
        grid_id: Its id on the grid.
        seconds: How long it has run: Snakemake takes the age of the mark for that.

    Raises:
        OSError: They cannot be marked.
    """
    job.register(external_jobid=grid_id)
    began = time.time() - seconds
    for member in Internals.members(job):
        persistence = member.rule.workflow.persistence
        # Marks in files; those in a database are of now.
        folder = getattr(persistence, "_incomplete_path", None)
        for path in member.output if folder is not None else ():
            with contextlib.suppress(OSError):
                mark = persistence._record_path(folder, persistence._get_key(path))
                os.utime(mark, (began, began))
