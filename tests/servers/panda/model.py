"""Tasks, their input files and their jobs, and the database that stores them."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FINAL_TASK = frozenset({"done", "finished", "failed", "broken", "aborted"})
ENDED_TASK = FINAL_TASK | {"exhausted"}
FINAL_JOB = frozenset({"finished", "failed", "cancelled", "closed"})


@dataclass
class InputFile:
    """One input of a task; with ``pfnList``, one of its strings.

    As in JEDI_Dataset_Contents, what failed is ``ready`` again, with one attempt more behind it:
    there is no status that says that no attempts are left.
    """

    number: int
    lfn: str
    text: str
    max_attempt: int
    status: str = "ready"
    attempt: int = 0
    panda_id: int | None = None

    @property
    def tries_left(self) -> bool:
        return self.attempt < self.max_attempt


@dataclass
class Task:
    """A task; ``waiting`` is its status until JEDI knows it."""

    number: int
    user: str
    parameters: dict[str, Any]
    created: float
    status: str = "waiting"
    changed: float = 0
    old_status: str | None = None
    error: str | None = None
    attempt: int = 0
    parent: int | None = None
    scouts: bool = False
    command: str | None = None
    command_time: float = 0
    soft: bool = False
    new_parameters: dict[str, Any] = field(default_factory=dict)
    dataset: int = 0
    files: list[InputFile] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None

    def become(self, status: str, error: str | None = None) -> None:
        """Change to another state, with an optional reason."""
        self.status, self.changed = status, time.time()
        if error:
            self.error = error
        if status in FINAL_TASK:
            self.ended = self.changed

    @property
    def name(self) -> str:
        return str(self.parameters["taskName"])

    @property
    def known(self) -> bool:
        """Whether JEDI knows it."""
        return self.status != "waiting"

    def count(self, status: str) -> int:
        return sum(file.status == status for file in self.files)

    @property
    def failed_files(self) -> int:
        return sum(file.status == "ready" and not file.tries_left for file in self.files)


@dataclass
class Job:
    """One attempt at one or more inputs of a task."""

    number: int
    task: int
    files: list[int]
    inputs: list[str]
    site: str
    user: str
    parameters: str
    attempt: int
    cores: int = 1
    scout: bool = False
    created: float = 0
    changed: float = 0
    status: str = "defined"
    started: float | None = None
    ended: float | None = None
    pid: int | None = None
    pid_started: int | None = None
    killed_by: str | None = None
    kill_time: float | None = None
    vanished: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    def become(self, status: str) -> None:
        self.status, self.changed = status, time.time()
        if status in FINAL_JOB:
            self.ended = self.changed

    @property
    def active(self) -> bool:
        return self.status not in FINAL_JOB


class Store:
    """All records of a server, in memory and in one SQLite file.

    Changes are saved before they are answered, so that they survive a SIGKILL.
    """

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        # Only the server is killed, not the system: what was written is not lost.
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS record (kind, id, body, PRIMARY KEY (kind, id))"
        )
        self.tasks: dict[int, Task] = {}
        self.jobs: dict[int, Job] = {}
        self._active: dict[int, Job] = {}
        self._by_task: dict[int, list[Job]] = {}
        self._changed: set[tuple[str, int]] = set()
        for number, body in self._rows("task"):
            body["files"] = [InputFile(**file) for file in body["files"]]
            self.tasks[int(number)] = Task(**body)
        for _, body in self._rows("job"):
            self.add(Job(**body))

    def add(self, job: Job) -> None:
        """Add a job."""
        self.jobs[job.number] = job
        self._active[job.number] = job
        self._by_task.setdefault(job.task, []).append(job)

    def active_jobs(self) -> list[Job]:
        """Return the jobs that have not ended."""
        # Most jobs have ended and are not checked each time.
        self._active = {number: job for number, job in self._active.items() if job.active}
        return list(self._active.values())

    def touch(self, record: Task | Job) -> None:
        """Note that a record has changed."""
        self._changed.add(("task" if isinstance(record, Task) else "job", record.number))

    def flush(self) -> None:
        """Write all changed records."""
        if not self._changed:
            return
        rows = []
        for kind, number in self._changed:
            record = self.tasks[number] if kind == "task" else self.jobs[number]
            rows.append((kind, number, json.dumps(asdict(record))))
        self._changed.clear()
        self._write(rows)

    def get(self, kind: str, key: str) -> Any:
        """Return a value that was stored by `put`, or None."""
        row = self._database.execute(
            "SELECT body FROM record WHERE kind=? AND id=?", (kind, key)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, key: str, value: object) -> None:
        """Write a value."""
        self._write([(kind, key, json.dumps(value))])

    def all(self, kind: str) -> dict[str, Any]:
        """Return all values that `put` stored under a kind."""
        return dict(self._rows(kind))

    def next_number(self, kind: str, step: int = 1) -> int:
        """Return a number that is larger than all before it."""
        number: int = (self.get("number", kind) or 1000) + step
        self.put("number", kind, number)
        return number

    def jobs_of(self, task: Task) -> list[Job]:
        return self._by_task.get(task.number, [])

    def close(self) -> None:
        self.flush()
        self._database.close()

    def _rows(self, kind: str) -> list[tuple[str, Any]]:
        found = self._database.execute("SELECT id, body FROM record WHERE kind=?", (kind,))
        return [(key, json.loads(body)) for key, body in found]

    def _write(self, rows: list[tuple[str, Any, str]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", rows)
        self._database.execute("COMMIT")
