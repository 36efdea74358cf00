"""Snakemake's marks of incomplete outputs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any

from .workflow import WorkflowApi


def marked_incomplete(workflow: Any, paths: Iterable[str]) -> set[str]:
    """Return the outputs that are marked as incomplete; paths as the workflow names them."""
    # The public method checks only jobs of the DAG, and only files that exist.
    return set(workflow.persistence._filter_incomplete_keys(list(paths)))


def mark_incomplete(job: Any, grid_id: str, seconds: float) -> None:
    """Mark the outputs of a job as incomplete, until Snakemake records their completion.

    Args:
        job: Single job or group.
        grid_id: Its id on the grid.
        seconds: How long it has run; Snakemake reads that from the age of the mark.

    Raises:
        OSError: They cannot be marked.
    """
    job.register(external_jobid=grid_id)
    began = time.time() - seconds
    for member in WorkflowApi.members(job):
        persistence = member.rule.workflow.persistence
        # For marks in files; those in a database have the current time.
        folder = getattr(persistence, "_incomplete_path", None)
        for path in member.output if folder is not None else ():
            with contextlib.suppress(OSError):
                mark = persistence._record_path(folder, persistence._get_key(path))
                os.utime(mark, (began, began))
