"""Outputs on the grid of jobs that earlier runs have left: they may be there, and belong to no run.

A job stores its outputs on the grid itself, also if the run that submitted it has ended. The next
run takes such a file for absent until it has planned the job: otherwise nobody would ask the job
for its log and its other outputs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path

from ..model.backend_names import backend_names
from ..model.errors import GridError
from .database import DATABASE_FILE, Database
from .reader import JournalReader
from .records import JobRecord, Phase

_LEFT = (Phase.SUBMITTING, Phase.SUBMITTED, Phase.CANCELLING)


def left_outputs(folder: Path, backend: str) -> set[str]:
    """Return the names of outputs on the grid of jobs that are open on a backend.

    Those are left out that a later job has made.

    Args:
        folder: This package's own, below the working directory.
        backend: As in ``--grid-backend``: jobs on others cannot be asked.
    """
    with contextlib.suppress(GridError):  # the executor tells what is wrong with the journal
        if (folder / DATABASE_FILE).exists():
            with JournalReader(folder) as reader:
                return left_by(reader.jobs_with_grid_outputs(), backend)
    return set()


def left_by(jobs: Iterable[JobRecord], backend: str) -> set[str]:
    """Return the same for jobs in the order in which they were submitted."""
    left: set[str] = set()
    backends = backend_names(backend)
    for job in jobs:
        if job.succeeded:
            left.difference_update(job.grid_outputs)
        elif job.phase in _LEFT and job.backend in backends:
            left.update(job.grid_outputs)
    return left


def forget_left(database: Database, names: Collection[str]) -> None:
    """Note that this host has made files itself: no open job has to be asked for them."""
    rows = database.query(
        "SELECT name, grid_outputs FROM jobs WHERE grid_outputs<>'[]' AND phase IN (?, ?, ?)",
        tuple(phase.value for phase in _LEFT),
    )
    changed = []
    for job, text in rows:
        outputs = json.loads(text)
        if not set(outputs).isdisjoint(names):
            kept = [name for name in outputs if name not in names]
            changed.append((json.dumps(kept), job))
    if changed:
        database.change("UPDATE jobs SET grid_outputs=? WHERE name=?", changed)
