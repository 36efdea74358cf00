"""What was submitted under which name and what became of it, written around every effect."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum

from ..model.job import JobSpec, title
from ..model.state import JobStatus
from .database import Database


class Phase(Enum):
    """How far a job has come, as far as this side knows."""

    SUBMITTING = "submitting"
    """The backend is being asked: whether it has the job is not known."""
    SUBMITTED = "submitted"
    CANCELLING = "cancelling"
    """It was to be cancelled, and the backend has not confirmed that it was."""
    LANDED = "landed"
    """Its outputs are in place. Snakemake may not know, and the backend still keeps the results."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing has to be done about the job any more."""
        return self.value not in _OPEN


_OPEN = (
    *(Phase.SUBMITTING.value, Phase.SUBMITTED.value),
    *(Phase.CANCELLING.value, Phase.LANDED.value),
)


@dataclass(frozen=True)
class Left:
    """A job that an earlier run left open.

    Attributes:
        name: Unique name.
        origin: Name under which the job was submitted first.
        rule: Its rule.
        wildcards: JSON text of names and values.
        attempt: Snakemake's, 1 for the first.
        grid_id: Id of the backend; None when the answer of the submission is not known.
        phase: How far it had come.
        changed: When that was noted last, in seconds since the epoch.
        identity: Tells what it does, and with what; empty when a former version submitted it.
        outputs: Names of what it makes.
    """

    name: str
    origin: str
    rule: str
    wildcards: str
    attempt: int
    grid_id: str | None
    phase: Phase
    changed: float
    identity: str
    outputs: tuple[str, ...]

    @property
    def title(self) -> str:
        """Rule and wildcards, for people."""
        return f"rule {title(self.rule, json.loads(self.wildcards).items())}"


_LEFT = tuple(field.name for field in fields(Left))


@dataclass(frozen=True)
class Entry:
    """A job that is about to be submitted.

    Attributes:
        spec: The job.
        identity: Tells what it does, and with what.
        origin: Name under which it was submitted first.
        began: When its inputs began to be stored, in seconds since the epoch.
    """

    spec: JobSpec
    identity: str
    origin: str
    began: float


class Journal:
    """Writes the ``jobs`` and ``runs`` tables; times in them are seconds since the epoch.

    Attributes:
        place: Which server the backend submits to, to be set before the first job.
    """

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
        self.place = ""

    def begin_run(self, store: str, settings: Mapping[str, object]) -> None:
        """Note that a run begins.

        Args:
            store: URL of its store.
            settings: Options that differ from their defaults, fit for JSON.
        """
        self._database.change(
            "INSERT OR REPLACE INTO runs (name, backend, store, host, pid, settings, started) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    self._run,
                    self._backend,
                    store,
                    socket.gethostname(),
                    os.getpid(),
                    json.dumps(dict(settings)),
                    time.time(),
                )
            ],
        )

    def end_run(self, end: str, stored_bytes: int, spared_bytes: int) -> None:
        """Note how a run has ended.

        Args:
            end: ``finished``, ``failed``, ``stopped`` (by SIGTERM), ``cancelled``, or ``left``,
                which leaves jobs on the grid.
            stored_bytes: Bytes that went into the store.
            spared_bytes: Bytes that were there already.
        """
        self._database.change(
            "UPDATE runs SET ended=?, end=?, stored_bytes=?, spared_bytes=?, trouble='', "
            "troubled=NULL WHERE name=?",
            [(time.time(), end, stored_bytes, spared_bytes, self._run)],
        )

    def trouble(self, words: str) -> None:
        """Note what the run waits for, for those who look on; nothing when all is well again."""
        self._database.change(
            "UPDATE runs SET trouble=?, "
            "troubled=CASE ? WHEN '' THEN NULL ELSE coalesce(troubled, ?) END WHERE name=?",
            [(words, words, time.time(), self._run)],
        )

    def submitting(self, entries: Sequence[Entry]) -> None:
        """Note that these jobs are about to be submitted."""
        now = time.time()
        self._database.change(
            "INSERT INTO jobs (name, run, rule, wildcards, jobid, attempt, backend, phase, changed,"
            " origin, place, identity, outputs, asked, began, sent)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    entry.spec.name,
                    self._run,
                    entry.spec.rule,
                    json.dumps(dict(entry.spec.wildcards)),
                    entry.spec.jobid,
                    entry.spec.attempt,
                    self._backend,
                    Phase.SUBMITTING.value,
                    now,
                    entry.origin,
                    self.place,
                    entry.identity,
                    json.dumps(output_names(entry.spec)),
                    json.dumps(asdict(entry.spec.resources)),
                    entry.began,
                    now,
                )
                for entry in entries
            ],
        )

    def submitted(self, ids: Mapping[str, str]) -> None:
        """Note the ids that the backend gave, by name."""
        now = time.time()
        self._database.change(
            "UPDATE jobs SET phase=CASE phase WHEN ? THEN phase ELSE ? END, kept=1, grid_id=?, "
            "taken=?, changed=? WHERE name=?",
            [
                (Phase.CANCELLING.value, Phase.SUBMITTED.value, grid_id, now, now, name)
                for name, grid_id in ids.items()
            ],
        )

    def adopted(self, jobs: Mapping[str, tuple[str, str]]) -> None:
        """Note that jobs of earlier runs belong to this one now.

        Args:
            jobs: By name, the id that the backend gave, and Snakemake's own id.
        """
        self._database.change(
            "UPDATE jobs SET run=?, kept=1, grid_id=?, jobid=?, taken=coalesce(taken, ?), "
            "phase=CASE phase WHEN ? THEN ? ELSE phase END WHERE name=?",
            [
                (
                    self._run,
                    grid_id,
                    jobid,
                    time.time(),
                    Phase.SUBMITTING.value,
                    Phase.SUBMITTED.value,
                    name,
                )
                for name, (grid_id, jobid) in jobs.items()
            ],
        )

    def seen(self, statuses: Mapping[str, JobStatus]) -> None:
        """Note what the backend says of jobs, by name; and when it said so first."""
        now = time.time()
        self._database.change(
            "UPDATE jobs SET state=?, site=CASE ? WHEN '' THEN site ELSE ? END, "
            "running=CASE ? WHEN 'running' THEN coalesce(running, ?) ELSE running END, "
            "ended=CASE ? WHEN 1 THEN coalesce(ended, ?) ELSE ended END, changed=? WHERE name=?",
            [
                (
                    *(status.state.value, status.site, status.site, status.state.value, now),
                    *(int(status.state.ended), now, now, name),
                )
                for name, status in statuses.items()
            ],
        )

    def ended(self, name: str, phase: Phase, detail: str = "", report: str | None = None) -> None:
        """Note how a job ended, with its report as JSON text if there is one."""
        now = time.time()
        self._database.change(
            "UPDATE jobs SET phase=?, detail=?, report=coalesce(?, report), landed=?, changed=? "
            "WHERE name=?",
            [(phase.value, detail, report, now, now, name)],
        )

    def noted(self, names: Iterable[str]) -> None:
        """Note that Snakemake knows that these jobs have succeeded."""
        self._database.change(
            "UPDATE jobs SET phase=? WHERE name=? AND phase=?",
            [(Phase.SUCCEEDED.value, name, Phase.LANDED.value) for name in names],
        )

    def discarded(self, names: Iterable[str]) -> None:
        """Note that the backend keeps nothing any more for jobs."""
        self._database.change("UPDATE jobs SET kept=0 WHERE name=?", [(name,) for name in names])

    def kept(self) -> list[str]:
        """Return the names of jobs that are over, but for which the backend keeps something.

        The run that followed them died before it could tell the backend.
        """
        rows = self._database.query(
            "SELECT name FROM jobs WHERE kept=1 AND phase NOT IN (?, ?, ?, ?) "
            "AND backend=? AND place IN (?, '') AND run<>?",
            (*_OPEN, self._backend, self.place, self._run),
        )
        return [str(name) for (name,) in rows]

    def cancelling(self, names: Iterable[str]) -> None:
        """Note that these jobs are to be cancelled, whatever becomes of this run."""
        self._database.change(
            "UPDATE jobs SET phase=?, changed=? WHERE name=?",
            [(Phase.CANCELLING.value, time.time(), name) for name in names],
        )

    def left(self) -> list[Left]:
        """Return the jobs of earlier runs on this backend that something has to be done about."""
        rows = self._database.query(
            f"SELECT {', '.join(_LEFT)} FROM jobs WHERE phase IN (?, ?, ?, ?) "  # noqa: S608
            "AND backend=? AND place IN (?, '') AND run<>? ORDER BY changed",
            (*_OPEN, self._backend, self.place, self._run),
        )
        return [
            Left(**{**row, "phase": Phase(row["phase"]), "outputs": _names(row["outputs"])})
            for row in (dict(zip(_LEFT, values, strict=True)) for values in rows)
        ]

    def open_jobs(self) -> int:
        """Return how many jobs the backend has, or may have, that have not been taken in."""
        rows = self._database.query(
            "SELECT count(*) FROM jobs WHERE phase IN (?, ?) AND backend=? AND place IN (?, '')",
            (Phase.SUBMITTING.value, Phase.SUBMITTED.value, self._backend, self.place),
        )
        return int(rows[0][0])

    def left_elsewhere(self) -> dict[str, int]:
        """Return how many jobs earlier runs have left where this one does not reach them."""
        rows = self._database.query(
            "SELECT backend, place, count(*) FROM jobs WHERE phase IN (?, ?, ?, ?) "
            "AND NOT (backend=? AND place IN (?, '')) GROUP BY backend, place",
            (*_OPEN, self._backend, self.place),
        )
        return {f"{backend} ({place})": count for backend, place, count in rows}

    def set_aside(self, copies: Mapping[str, str]) -> None:
        """Note which files, by path, have a copy that has to be put back when they vanish."""
        self._database.change("INSERT OR REPLACE INTO aside VALUES (?, ?)", copies.items())

    def aside(self) -> dict[str, str]:
        """Return the files that have a copy."""
        return dict(self._database.query("SELECT path, copy FROM aside"))

    def put_back(self, paths: Iterable[str]) -> None:
        """Forget the copies of these files."""
        self._database.change("DELETE FROM aside WHERE path=?", [(path,) for path in paths])


def output_names(spec: JobSpec) -> list[str]:
    """Return the names of a job's outputs, sorted: they tell it from the others of a workflow."""
    return sorted(output.name for output in spec.outputs if output.kind == "output")


def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def last_place(database: Database, backend: str) -> str:
    """Return the server on which the last job runs that was left open; nothing if none was."""
    rows = database.query(
        "SELECT place FROM jobs WHERE phase IN (?, ?, ?, ?) AND backend=? "
        "ORDER BY changed DESC LIMIT 1",
        (*_OPEN, backend),
    )
    return str(rows[0][0]) if rows else ""
