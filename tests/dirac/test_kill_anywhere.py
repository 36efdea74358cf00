"""The controller is killed at its steps, on a real DIRAC server: no payload runs twice."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.dirac.faults import Row, Scene
from tests.kills import RISKY, Victim
from tests.servers.dirac.server import DiracServer

pytestmark = [pytest.mark.dirac, pytest.mark.slow]

CHAIN = (
    "before Journal.submitting",
    "before client.create",
    "after sending create",
    "after backend.adopt",
    "after Journal.adopted",
    "before backend.states",
    "after backend.retrieve",
    "after incoming.install",
    "after Journal.ended",
    "before snakemake.postprocess",
    "after store.drop",
    "after client.create",
    "after client.confirm",
)


@pytest.fixture
def victim(project: Project, dirac_server: DiracServer, tmp_path: Path) -> Victim:
    return Victim(Scene(project, dirac_server, tmp_path), pause=1)


def has_ended_well(victim: Victim) -> None:
    """See that all is done once, here and on the server."""
    victim.ended_well()
    rows = rows_of(victim)
    done = [row.name for row in rows if row.status == "Done"]
    assert len(set(done)) == len(done) == 3, rows
    assert {row.status for row in rows} <= {"Done", "Failed", "Killed", "Deleted"}, rows


def rows_of(victim: Victim) -> list[Row]:
    """Return the jobs of a project on the server, where there are others as well."""
    scene = victim.scene
    assert isinstance(scene, Scene)
    database = scene.project.folder / ".snakemake" / "grid" / "grid.sqlite"
    with sqlite3.connect(database) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM jobs")}
    return [row for row in scene.rows() if row.name in names]


def test_killed_on_and_on(victim: Victim) -> None:
    victim.kill_on_and_on(CHAIN)
    has_ended_well(victim)


@pytest.mark.parametrize(
    "step",
    [
        "after sending create",
        "after client.create",  # jobs are there, and wait for being confirmed
        "after sending confirm",
        *RISKY,
    ],
)
def test_killed_twice_at_the_same_step(victim: Victim, step: str) -> None:
    victim.kill_twice(step)
    has_ended_well(victim)
