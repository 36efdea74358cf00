"""Records which job is in which task, before the submission, so that it can be found again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...journal.database import Database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    name TEXT PRIMARY KEY,
    attempts INTEGER NOT NULL,
    grid_id TEXT,
    private INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_grid_id ON tasks (grid_id);
CREATE TABLE IF NOT EXISTS task_jobs (
    job TEXT PRIMARY KEY,
    task TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_jobs_task ON task_jobs (task);
CREATE TABLE IF NOT EXISTS panda_ids (
    job TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS task_jobs_ended AFTER DELETE ON task_jobs
BEGIN DELETE FROM panda_ids WHERE job=OLD.job; END;
"""


@dataclass
class _Task:
    """A row of ``tasks``, and the names of its unfinished jobs."""

    attempts: int
    grid_id: str | None = None
    private: bool = False
    jobs: set[str] = field(default_factory=set)


class TaskRegistry:
    """The ``tasks``, ``task_jobs`` and ``panda_ids`` tables; all of it is in memory as well.

    The event loop must not wait for the disk. A task is forgotten when its last job is finished and
    it has no private data any more.
    """

    def __init__(self, database: Database) -> None:
        """Keep them in a database."""
        database.create(_SCHEMA)
        self._database = database
        self._tasks: dict[str, _Task] = {}
        self._task_of: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._load()
        if not database.guest:
            for name in list(self._tasks):  # older versions kept them
                self._prune(name)

    def _load(self) -> None:
        rows = self._database.query("SELECT name, attempts, grid_id, private FROM tasks")
        for name, attempts, grid_id, private in rows:
            self._tasks[str(name)] = _Task(int(attempts), None, bool(private))
            if grid_id is not None:
                self._name(str(name), str(grid_id))
        for job, task in self._database.query("SELECT job, task FROM task_jobs"):
            self._add(str(task), [str(job)])
        rows = self._database.query("SELECT job, number FROM panda_ids")
        self._numbers = {str(job): int(number) for job, number in rows}

    def _name(self, task: str, grid_id: str) -> None:
        if task in self._tasks:
            self._tasks[task].grid_id, self._names[grid_id] = grid_id, task

    def _add(self, task: str, jobs: Iterable[str]) -> None:
        if task in self._tasks:
            for job in jobs:
                former = self._tasks.get(self._task_of.get(job, ""))
                if former is not None:
                    former.jobs.discard(job)
                self._task_of[job] = task
                self._tasks[task].jobs.add(job)

    async def submitting(self, task: str, jobs: Sequence[str], attempts: int) -> None:
        """Note the jobs of a task that is about to be submitted; returns when it is on disk.

        Args:
            task: Its unique name.
            jobs: Their unique names.
            attempts: How often each of them may fail on the server.
        """
        # In this order: a task without jobs is one that is finished.
        noted = self._database.write(
            "INSERT OR REPLACE INTO task_jobs VALUES (?, ?)", [(job, task) for job in jobs]
        )
        await self._database.write(
            "INSERT OR IGNORE INTO tasks (name, attempts) VALUES (?, ?)", [(task, attempts)]
        )
        await noted
        self._tasks.setdefault(task, _Task(attempts))
        self._add(task, jobs)

    def submitted(self, task: str, grid_id: str) -> None:
        """Note the id of a task. Until that is on disk, the task is found by its name.

        Args:
            task: Its name.
            grid_id: Id of the task; of the request, where it went through iDDS.
        """
        self._name(task, grid_id)
        _ = self._database.write("UPDATE tasks SET grid_id=? WHERE name=?", [(grid_id, task)])

    def ended(self, jobs: Iterable[str]) -> None:
        """Remove jobs that are finished."""
        jobs = list(jobs)
        tasks = {self._task_of.pop(job) for job in jobs if job in self._task_of}
        _ = self._database.write("DELETE FROM task_jobs WHERE job=?", [(job,) for job in jobs])
        for job in jobs:
            self._numbers.pop(job, None)
        for task in tasks:
            self._tasks[task].jobs.difference_update(jobs)
            self._prune(task)

    def numbered(self, numbers: Mapping[str, int]) -> None:
        """Note the PandaIDs of jobs, by name; only those of unfinished jobs are kept."""
        known = {job: number for job, number in numbers.items() if job in self._task_of}
        self._numbers.update(known)
        _ = self._database.write("INSERT OR REPLACE INTO panda_ids VALUES (?, ?)", known.items())

    def numbers(self, jobs: Iterable[str]) -> dict[str, int]:
        """Return the last known PandaIDs of jobs, by name."""
        return {job: self._numbers[job] for job in jobs if job in self._numbers}

    async def hide(self, task: str) -> None:
        """Note that private data is kept for the jobs of a task; returns when it is on disk."""
        await self._database.write("UPDATE tasks SET private=1 WHERE name=?", [(task,)])
        if task in self._tasks:
            self._tasks[task].private = True

    def forgotten(self, task: str) -> None:
        """Note that the private data of a task has been removed."""
        _ = self._database.write("UPDATE tasks SET private=0 WHERE name=?", [(task,)])
        if task in self._tasks:
            self._tasks[task].private = False
            self._prune(task)

    def _prune(self, name: str) -> None:
        task = self._tasks[name]
        if not task.jobs and not task.private:
            del self._tasks[name]
            self._names.pop(task.grid_id or "", None)
            _ = self._database.write("DELETE FROM tasks WHERE name=?", [(name,)])

    def hides(self, task: str) -> bool:
        """Return whether private data is kept for the jobs of a task."""
        return task in self._tasks and self._tasks[task].private

    def over(self) -> list[str]:
        """Return the names of tasks that have private data but no unfinished jobs."""
        return [name for name, task in self._tasks.items() if task.private and not task.jobs]

    def task_of(self, job: str) -> str | None:
        """Return the name of the task that a job was submitted in, or None."""
        return self._task_of.get(job)

    def tasks_of(self, jobs: Collection[str]) -> dict[str, list[str]]:
        """Return jobs by the names of their tasks; those that have none are left out."""
        found: dict[str, list[str]] = {}
        for job in jobs:
            task = self.task_of(job)
            if task is not None:
                found.setdefault(task, []).append(job)
        return found

    def jobs_of(self, task: str) -> list[str]:
        """Return the names of the unfinished jobs of a task."""
        return sorted(self._tasks[task].jobs) if task in self._tasks else []

    def grid_id(self, task: str) -> str | None:
        """Return the id of a task, None if it is not known to have one."""
        return self._tasks[task].grid_id if task in self._tasks else None

    def attempts(self, grid_id: str) -> int:
        """Return how often the server lets each job of a task fail."""
        if grid_id not in self._names:
            self._load()  # a run goes on beside this command, and has submitted it since
        name = self._names.get(grid_id)
        return self._tasks[name].attempts if name else 1

    def name(self, grid_id: str) -> str | None:
        """Return the name of the task that has an id, or None."""
        return self._names.get(grid_id)
