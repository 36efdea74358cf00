"""Which job is in which task: in memory, and on disk for the next run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.task_registry import TaskRegistry
from snakemake_executor_plugin_grid.journal.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "grid.sqlite") as made:
        yield made


def submitted(registry: TaskRegistry, task: str, *jobs: str, attempts: int = 1) -> None:
    asyncio.run(registry.submitting(task, jobs, attempts))
    registry.submitted(task, f"id-{task}")


def rows(database: Database) -> tuple[list[str], list[str]]:
    """Return the tasks and the jobs on disk."""
    return tuple(  # type: ignore[return-value]
        [name for (name,) in database.query(f"SELECT {column} FROM {table} ORDER BY 1")]  # noqa: S608
        for table, column in (("tasks", "name"), ("task_jobs", "job"))
    )


def test_the_next_run_knows_the_same(database: Database) -> None:
    submitted(TaskRegistry(database), "t", "a", "b", attempts=3)
    again = TaskRegistry(database)
    assert again.tasks_of(["a", "b", "c"]) == {"t": ["a", "b"]}
    assert again.jobs_of("t") == ["a", "b"]
    assert (again.grid_id("t"), again.name("id-t"), again.attempts("id-t")) == ("id-t", "t", 3)


def test_a_task_is_on_disk_before_it_is_submitted(database: Database) -> None:
    registry = TaskRegistry(database)
    other = sqlite3.connect(database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # the disk is slow

    async def submit() -> None:
        noting = asyncio.ensure_future(registry.submitting("t", ["a"], 1))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not noting.done()
        assert registry.task_of("a") is None
        other.rollback()
        await noting

    asyncio.run(submit())
    other.close()
    assert registry.task_of("a") == "t"
    assert rows(database) == (["t"], ["a"])


def test_a_task_whose_jobs_are_finished_leaves_nothing(database: Database) -> None:
    registry = TaskRegistry(database)
    submitted(registry, "t", "a", "b")
    registry.ended(["a"])
    assert rows(database) == (["t"], ["b"])
    registry.ended(["b"])
    assert rows(database) == ([], [])
    assert (registry.name("id-t"), registry.grid_id("t"), registry.jobs_of("t")) == (None, None, [])


def test_a_task_with_private_data_is_kept_until_that_is_removed(database: Database) -> None:
    registry = TaskRegistry(database)
    submitted(registry, "t", "a")
    asyncio.run(registry.hide("t"))
    registry.ended(["a"])
    assert TaskRegistry(database).over() == registry.over() == ["t"]
    registry.forgotten("t")
    assert rows(database) == ([], [])


def test_tasks_that_an_older_version_has_kept_are_removed_by_a_run_only(database: Database) -> None:
    registry = TaskRegistry(database)
    submitted(registry, "open", "a")
    database.change("INSERT INTO tasks (name, attempts) VALUES (?, 1)", [("finished",)])
    with Database(database.path, guest=True) as beside:
        TaskRegistry(beside)
    assert rows(database) == (["finished", "open"], ["a"])
    TaskRegistry(database)
    assert rows(database) == (["open"], ["a"])


def test_a_command_beside_a_run_learns_of_new_tasks(database: Database) -> None:
    with Database(database.path, guest=True) as beside:
        command = TaskRegistry(beside)
        submitted(TaskRegistry(database), "t", "a", attempts=3)
        database.query("SELECT 1")
        assert command.attempts("id-t") == 3


def test_a_job_that_moves_to_another_task(database: Database) -> None:
    registry = TaskRegistry(database)
    submitted(registry, "old", "a", "b")
    submitted(registry, "new", "a")
    assert registry.tasks_of(["a", "b"]) == {"new": ["a"], "old": ["b"]}
    assert (registry.jobs_of("old"), registry.jobs_of("new")) == (["b"], ["a"])
