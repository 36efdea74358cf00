"""What was submitted under which name and what became of it, written around every effect."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .database import Database
from .jobspec import JobSpec


class Phase(Enum):
    """How far a job has come, as far as this side knows."""

    SUBMITTING = "submitting"
    """The backend is being asked: whether it has the job is not known."""
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OPEN = (Phase.SUBMITTING.value, Phase.SUBMITTED.value)


@dataclass(frozen=True)
class Left:
    """A job that an earlier run left open.

    Attributes:
        name: Unique name.
        rule: Its rule.
        grid_id: Id of the backend; None when the answer of the submission is not known.
    """

    name: str
    rule: str
    grid_id: str | None


class Journal:
    """The ``jobs`` table."""

    def __init__(self, database: Database, run: str, backend: str) -> None:
        """Write for one run.

        Args:
            database: Where to.
            run: Id of the run.
            backend: Name of the backend.
        """
        self._database = database
        self._run = run
        self._backend = backend

    def submitting(self, specs: Sequence[JobSpec]) -> None:
        """Note that these jobs are about to be submitted."""
        now = time.time()
        self._database.change(
            "INSERT INTO jobs (name, run, rule, wildcards, jobid, attempt, backend, phase, changed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    spec.name,
                    self._run,
                    spec.rule,
                    json.dumps(dict(spec.wildcards)),
                    spec.jobid,
                    spec.attempt,
                    self._backend,
                    Phase.SUBMITTING.value,
                    now,
                )
                for spec in specs
            ],
        )

    def submitted(self, ids: Mapping[str, str]) -> None:
        """Note the ids that the backend gave, by name."""
        now = time.time()
        self._database.change(
            "UPDATE jobs SET phase=?, grid_id=?, changed=? WHERE name=?",
            [(Phase.SUBMITTED.value, grid_id, now, name) for name, grid_id in ids.items()],
        )

    def ended(self, name: str, phase: Phase, detail: str = "", report: str | None = None) -> None:
        """Note how a job ended, with its report as JSON text if there is one."""
        self._database.change(
            "UPDATE jobs SET phase=?, detail=?, report=?, changed=? WHERE name=?",
            [(phase.value, detail, report, time.time(), name)],
        )

    def reopen(self, name: str) -> None:
        """Note that the backend may have a job after all."""
        self._database.change(
            "UPDATE jobs SET phase=? WHERE name=?", [(Phase.SUBMITTING.value, name)]
        )

    def left(self) -> list[Left]:
        """Return the jobs of earlier runs on this backend whose end is not known."""
        rows = self._database.query(
            "SELECT name, rule, grid_id FROM jobs WHERE phase IN (?, ?) AND backend=? AND run<>?",
            (*_OPEN, self._backend, self._run),
        )
        return [Left(*row) for row in rows]

    def set_aside(self, copies: Mapping[str, str]) -> None:
        """Note which files, by path, have a copy that has to be put back when they vanish."""
        self._database.change("INSERT OR REPLACE INTO aside VALUES (?, ?)", copies.items())

    def aside(self) -> dict[str, str]:
        """Return the files that have a copy."""
        return dict(self._database.query("SELECT path, copy FROM aside"))

    def put_back(self, paths: Iterable[str]) -> None:
        """Forget the copies of these files."""
        self._database.change("DELETE FROM aside WHERE path=?", [(path,) for path in paths])
