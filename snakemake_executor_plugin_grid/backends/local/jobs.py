"""The jobs of a local site, in memory and on disk."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...journal.database import set_journal_mode

log = logging.getLogger("snakemake-grid-site")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE NOT NULL,
    cores INTEGER NOT NULL,
    mem_mb INTEGER NOT NULL,
    "limit" REAL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0,
    pid_start INTEGER NOT NULL DEFAULT 0,
    started REAL NOT NULL DEFAULT 0
)
"""


@dataclass(eq=False)
class Job:
    """One job of a site.

    Attributes:
        number: Id.
        name: Unique name, and that of its sandbox.
        cores: Processors it occupies.
        mem_mb: Memory it occupies, in MB.
        limit: Seconds that its payload may run, None for no limit.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        detail: Why it failed.
        pid: Process of the worker, 0 before it is known.
        pid_start: When that process started, in clock ticks since boot.
        started: When it was started, in seconds since the epoch.
        cancelled: Whether its end was asked for.
        version: Grows with each change of any job.
    """

    number: int
    name: str
    cores: int
    mem_mb: int
    limit: float | None
    state: str = "queued"
    detail: str = ""
    pid: int = 0
    pid_start: int = 0
    started: float = 0.0
    cancelled: bool = False
    version: int = 0

    @property
    def active(self) -> bool:
        """Whether it is queued or running."""
        return self.state in ("queued", "running")


class JobTable:
    """All jobs that have not been discarded; written through to SQLite."""

    def __init__(self, path: Path) -> None:
        """Read the file, or make it."""
        self._connection = sqlite3.connect(path, isolation_level=None)
        set_journal_mode(self._connection, path)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)
        rows = self._connection.execute(
            'SELECT number, name, cores, mem_mb, "limit", state, detail, pid, pid_start, started'
            " FROM jobs ORDER BY number"
        )
        self._jobs = {row[0]: Job(*row) for row in rows}
        self._numbers = {job.name: job.number for job in self._jobs.values()}
        self._version = time.time_ns()  # grows over restarts, too
        self._active = {number for number, job in self._jobs.items() if job.active}
        self._changed: dict[int, Job] = {}
        for job in self._jobs.values():
            self._touch(job)

    def add(self, name: str, cores: int, mem_mb: int, limit: float | None) -> Job:
        """Add a job to the queue."""
        cursor = self._connection.execute(
            'INSERT INTO jobs (name, cores, mem_mb, "limit", state) VALUES (?, ?, ?, ?, ?)',
            (name, cores, mem_mb, limit, "queued"),
        )
        if cursor.lastrowid is None:
            raise RuntimeError("SQLite gave no id")
        job = Job(cursor.lastrowid, name, cores, mem_mb, limit)
        self._jobs[job.number] = job
        self._numbers[name] = job.number
        self._touch(job)
        return job

    def update(self, job: Job, state: str, detail: str = "") -> None:
        """Change the state of a job, and keep what else has changed."""
        if state == "running" and not job.started:
            job.started = time.time()
        job.state, job.detail = state, detail
        self._touch(job)
        try:
            self._connection.execute(
                "UPDATE jobs SET state=?, detail=?, pid=?, pid_start=?, started=? WHERE number=?",
                (state, detail, job.pid, job.pid_start, job.started, job.number),
            )
        except sqlite3.Error as error:
            # Most likely a full disk. Only a restarted site needs what is on disk.
            log.error("job %s: %s is not on disk: %s", job.name, state, error)

    def get(self, number: int) -> Job | None:
        """Return a job, None when it is not known."""
        return self._jobs.get(number)

    def active(self) -> list[Job]:
        """Return the jobs that are queued or running, in the order of submission."""
        return [self._jobs[number] for number in sorted(self._active)]

    def busy(self) -> bool:
        """Return whether any job is queued or running."""
        return bool(self._active)

    def empty(self) -> bool:
        """Return whether there is no job at all."""
        return not self._jobs

    def find(self, wanted: Iterable[str]) -> dict[str, int]:
        """Return ids by name."""
        return {name: self._numbers[name] for name in wanted if name in self._numbers}

    def changes(self, since: int) -> dict[str, object]:
        """Return what has changed since a version, and the version now."""
        jobs = []
        for job in reversed(self._changed.values()):
            if job.version <= since:
                break
            jobs.append([job.number, job.state, job.detail])
        return {"version": self._version, "jobs": jobs}

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget jobs that have ended."""
        for number in numbers:
            job = self._jobs.get(number)
            if job is None or job.active:
                continue
            del self._jobs[number], self._numbers[job.name]
            self._changed.pop(number, None)
            self._connection.execute("DELETE FROM jobs WHERE number=?", (number,))

    def _touch(self, job: Job) -> None:
        self._version += 1
        job.version = self._version
        # The last changed come last.
        self._changed.pop(job.number, None)
        self._changed[job.number] = job
        (self._active.add if job.active else self._active.discard)(job.number)
