"""Records which job is in which task, before the submission, so that it can be found again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

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


class TaskRegistry:
    """The ``tasks``, ``task_jobs`` and ``panda_ids`` tables."""

    def __init__(self, database: Database) -> None:
        """Keep them in a database."""
        database.create(_SCHEMA)
        self._database = database

    def submitting(self, task: str, jobs: Sequence[str], attempts: int) -> None:
        """Note the jobs of a task that is about to be submitted.

        Args:
            task: Its unique name.
            jobs: Their unique names.
            attempts: How often each of them may fail on the server.
        """
        self._database.change(
            "INSERT OR IGNORE INTO tasks (name, attempts) VALUES (?, ?)", [(task, attempts)]
        )
        self._database.change(
            "INSERT OR REPLACE INTO task_jobs VALUES (?, ?)", [(job, task) for job in jobs]
        )

    def submitted(self, task: str, grid_id: str) -> None:
        """Note the id of a task.

        Args:
            task: Its name.
            grid_id: Id of the task; of the request, where it went through iDDS.
        """
        self._database.change("UPDATE tasks SET grid_id=? WHERE name=?", [(grid_id, task)])

    def ended(self, jobs: Iterable[str]) -> None:
        """Remove jobs that are finished."""
        self._database.change("DELETE FROM task_jobs WHERE job=?", [(job,) for job in jobs])

    def numbered(self, numbers: Mapping[str, int]) -> None:
        """Note the PandaIDs of jobs, by name; only those of unfinished jobs are kept."""
        self._database.change(
            "INSERT OR REPLACE INTO panda_ids SELECT job, ? FROM task_jobs WHERE job=?",
            [(number, job) for job, number in numbers.items()],
        )

    def numbers(self, jobs: Iterable[str]) -> dict[str, int]:
        """Return the last known PandaIDs of jobs, by name."""
        statement = "SELECT number FROM panda_ids WHERE job=?"
        found = {job: self._database.query(statement, (job,)) for job in jobs}
        return {job: int(rows[0][0]) for job, rows in found.items() if rows}

    def hide(self, task: str, *, hidden: bool = True) -> None:
        """Note whether private data is kept for the jobs of a task."""
        self._database.change("UPDATE tasks SET private=? WHERE name=?", [(hidden, task)])

    def hides(self, task: str) -> bool:
        """Return whether private data is kept for the jobs of a task."""
        rows = self._database.query("SELECT private FROM tasks WHERE name=?", (task,))
        return bool(rows and rows[0][0])

    def over(self) -> list[str]:
        """Return the names of tasks that have private data but no unfinished jobs."""
        rows = self._database.query(
            "SELECT name FROM tasks WHERE private=1 "
            "AND NOT EXISTS (SELECT 1 FROM task_jobs WHERE task=tasks.name)"
        )
        return [str(name) for (name,) in rows]

    def task_of(self, job: str) -> str | None:
        """Return the name of the task that a job was submitted in, or None."""
        rows = self._database.query("SELECT task FROM task_jobs WHERE job=?", (job,))
        return str(rows[0][0]) if rows else None

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
        rows = self._database.query("SELECT job FROM task_jobs WHERE task=? ORDER BY job", (task,))
        return [str(job) for (job,) in rows]

    def grid_id(self, task: str) -> str | None:
        """Return the id of a task, None if it is not known to have one."""
        rows = self._database.query("SELECT grid_id FROM tasks WHERE name=?", (task,))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def attempts(self, grid_id: str) -> int:
        """Return how often the server lets each job of a task fail."""
        rows = self._database.query("SELECT attempts FROM tasks WHERE grid_id=?", (grid_id,))
        return int(rows[0][0]) if rows else 1

    def name(self, grid_id: str) -> str | None:
        """Return the name of the task that has an id, or None."""
        rows = self._database.query("SELECT name FROM tasks WHERE grid_id=?", (grid_id,))
        return str(rows[0][0]) if rows else None
