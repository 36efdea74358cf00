"""How long jobs usually take, as their reports say it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal import durations
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.durations import Durations
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from tests.unit.specs import spec, tracked


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "grid.sqlite") as made:
        yield made


def job(
    database: Database,
    name: str,
    seconds: float | None,
    *,
    rule: str = "a",
    backend: str = "dirac",
    phase: Phase = Phase.SUCCEEDED,
) -> None:
    journal = Journal(database, "0123abcd", backend)
    journal.submitting([tracked(spec(name, rule=rule))]).wait()
    times: dict[str, Any] = {} if seconds is None else {"received": 100, "ended": 100 + seconds}
    journal.ended(name, phase, "", json.dumps({"times": times})).wait()


def test_the_median_of_the_last_jobs_of_a_rule(database: Database) -> None:
    for number, seconds in enumerate((1000, *[10] * 10, *[20] * 5, *[600] * 5)):
        job(database, f"a-{number}", seconds)
    job(database, "a-failed", 9999, phase=Phase.FAILED)
    job(database, "a-local", 9999, backend="local")
    job(database, "a-odd", None)
    job(database, "b-1", 3, rule="b")
    assert Durations(database, "dirac")(["a", "b", "c"]) == {"a": 20, "b": 3}


def test_it_learns_while_it_runs(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(database, "0123abcd", "dirac")  # makes the table
    known = Durations(database, "dirac")
    assert known(["a"]) == {}
    job(database, "a-1", 7)
    assert known(["a"]) == {}  # not with each submission
    monkeypatch.setattr(durations, "_FRESH", 0.0)
    assert known(["a"]) == {"a": 7}
