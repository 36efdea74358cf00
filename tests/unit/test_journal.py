from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.database import Database
from snakemake_executor_plugin_grid.errors import GridError
from snakemake_executor_plugin_grid.journal import Journal, Left, Phase

from .specs import spec


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "grid.sqlite")


def test_jobs_of_an_earlier_run_are_left(database: Database) -> None:
    earlier = Journal(database, "run1", "local")
    names = ("unsure", "there", "good", "bad", "gone")
    earlier.submitting([spec(name) for name in names])
    earlier.submitted({name: f"id-{name}" for name in names[1:]})
    earlier.ended("good", Phase.SUCCEEDED, report="{}")
    earlier.ended("bad", Phase.FAILED, "exit code 1")
    earlier.ended("gone", Phase.CANCELLED)
    later = Journal(database, "run2", "local")
    assert sorted(later.left(), key=lambda left: left.name) == [
        Left("there", "sort", "id-there"),
        Left("unsure", "sort", None),
    ]


def test_own_jobs_and_those_of_other_backends_are_not_left(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.submitting([spec("a")])
    Journal(database, "run0", "dirac").submitting([spec("b")])
    assert journal.left() == []
    assert [left.name for left in Journal(database, "run2", "dirac").left()] == ["b"]


def test_job_that_has_ended_is_left_no_more(database: Database) -> None:
    Journal(database, "run1", "local").submitting([spec("a")])
    later = Journal(database, "run2", "local")
    later.ended("a", Phase.CANCELLED)
    assert later.left() == []


def test_what_is_told_of_a_job_is_kept(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.submitting([spec("a", attempt=2, wildcards=(("x", 'q"ü'),))])
    journal.submitted({"a": "17"})
    journal.ended("a", Phase.FAILED, "out of disk", '{"name": "a"}')
    ((wildcards, *rest),) = database.query(
        "SELECT wildcards, rule, jobid, attempt, grid_id, phase, detail, report FROM jobs"
    )
    assert json.loads(wildcards) == {"x": 'q"ü'}
    assert rest == ["sort", "3", 2, "17", "failed", "out of disk", '{"name": "a"}']


def test_name_is_submitted_once(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.submitting([spec("a")])
    with pytest.raises(GridError):
        journal.submitting([spec("b"), spec("a")])
    assert [left.name for left in Journal(database, "r", "local").left()] == ["a"]


def test_copies_are_remembered_until_put_back(database: Database) -> None:
    journal = Journal(database, "run1", "local")
    journal.set_aside({"/w/a": "/c/1", "/w/b": "/c/2"})
    journal.set_aside({"/w/a": "/c/3"})
    later = Journal(database, "run2", "local")
    assert later.aside() == {"/w/a": "/c/3", "/w/b": "/c/2"}
    later.put_back(["/w/a"])
    assert later.aside() == {"/w/b": "/c/2"}
