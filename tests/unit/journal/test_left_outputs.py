"""Outputs on the grid of jobs that earlier runs have left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.database import Database, open_database
from snakemake_executor_plugin_grid.journal.left_outputs import forget_left, left_outputs
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput
from tests.unit.journal.test_migrations import VERSION_2, old_file
from tests.unit.specs import spec, tracked


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(tmp_path) as made:
        yield made


def submit(
    database: Database, name: str, *outputs: str, phase: Phase | None = None, backend: str = "local"
) -> None:
    journal = Journal(database, "run", backend)
    job = spec(name, grid_outputs=tuple(GridOutput("x", one, one) for one in outputs))
    journal.submitting([tracked(job)]).wait()
    if phase is not None:
        journal.ended(name, phase).wait()


@pytest.mark.parametrize("phase", [None, Phase.SUBMITTED, Phase.CANCELLING])
def test_outputs_of_open_jobs_are_left(
    tmp_path: Path, database: Database, phase: Phase | None
) -> None:
    submit(database, "a-0-1", "lfn:/vo/a", "lfn:/vo/b", phase=phase)
    submit(database, "b-0-1")
    assert left_outputs(tmp_path, "local") == {"lfn:/vo/a", "lfn:/vo/b"}
    assert left_outputs(tmp_path, "dirac") == set()
    assert left_outputs(tmp_path, "dirac,local") == {"lfn:/vo/a", "lfn:/vo/b"}


@pytest.mark.parametrize(
    "phase", [Phase.OUTPUTS_INSTALLED, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED]
)
def test_jobs_that_are_over_leave_nothing(tmp_path: Path, database: Database, phase: Phase) -> None:
    submit(database, "a-0-1", "lfn:/vo/a", phase=phase)
    assert left_outputs(tmp_path, "local") == set()


def test_what_a_later_job_has_made_is_not_left(tmp_path: Path, database: Database) -> None:
    submit(database, "a-0-1", "lfn:/vo/a", "lfn:/vo/b")
    submit(database, "a-1-1", "lfn:/vo/a", phase=Phase.SUCCEEDED, backend="dirac")
    assert left_outputs(tmp_path, "local") == {"lfn:/vo/b"}
    submit(database, "a-2-1", "lfn:/vo/a")
    assert left_outputs(tmp_path, "local") == {"lfn:/vo/a", "lfn:/vo/b"}


def test_what_this_host_has_made_is_not_left(tmp_path: Path, database: Database) -> None:
    submit(database, "a-0-1", "lfn:/vo/a", "lfn:/vo/b")
    forget_left(database, ["lfn:/vo/a", "lfn:/vo/c"])
    assert left_outputs(tmp_path, "local") == {"lfn:/vo/b"}


def test_without_a_journal_that_knows_them_nothing_is_left(tmp_path: Path) -> None:
    assert left_outputs(tmp_path, "local") == set()
    old_file(tmp_path, VERSION_2)
    assert left_outputs(tmp_path, "dirac") == set()
