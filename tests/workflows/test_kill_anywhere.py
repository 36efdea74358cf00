"""The controller is killed at each of its steps: no payload runs twice, and nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Project, processes_below
from tests.faults import Scene, eventually
from tests.kills import RESUME, Start, Victim

pytestmark = pytest.mark.workflow

STEPS = (
    "Backups._forget",
    "Journal.begin_run",
    "store.put",
    "Catalog.note_bundle",
    "Journal.submitting",
    "backend.submit",
    "site.submit",
    "Journal.submitted",
    "Journal.seen",
    "backend.states",
    "backend.retrieve",
    "outputs.install",
    "snakemake.register",
    "staging.install",
    "store.keep",
    "Journal.ended",
    "snakemake.postprocess",
    "Journal.noted",
    "store.drop",
    "backend.discard",
    "site.discard",
    "Journal.discarded",
    "site.stop",
    "Journal.end_run",
    "Catalog.prune",
    "Journal.prune",
)
UNIMPORTANT = ("site.hello", "site.states")
"""What the local site is asked that changes nothing."""
OF_THE_NEXT_RUN = ("backend.find", "backend.adopt", "Journal.adopted")
ENDING = {f"before {step}" for step in STEPS[-7:]}
"""These come no more when Snakemake knows of the last job before it is killed."""
EVERY = [
    f"{when} {step} {count}"
    for step in STEPS
    for when in ("before", "after")
    for count in (1, 2, 3)
]


@pytest.fixture
def victim(project: Project, tmp_path: Path) -> Victim:
    return Victim(Scene(project, tmp_path))


def has_ended_well(victim: Victim, last: Start) -> None:
    """See that all is done once, and that nothing goes on."""
    victim.ended_well()
    folder = victim.scene.project.site.folder
    assert not active_jobs(folder), victim.story
    if "after site.stop" in last.steps:  # else nobody has asked for the site
        eventually(lambda: not processes_below(folder) and not list(folder.glob("*")), 15)


def active_jobs(folder: Path) -> list[tuple[str, str]]:
    """Return the jobs of a site that run or wait, and how they stand."""
    found = []
    for file in folder.glob("*/site.sqlite"):
        with sqlite3.connect(file) as connection:
            rows = connection.execute("SELECT name, state FROM jobs").fetchall()
        found += [row for row in rows if row[1] in ("queued", "running")]
    return found


def test_undisturbed(victim: Victim) -> None:
    start = victim.start()
    start.succeeded()
    has_ended_well(victim, start)
    # Whoever adds a step has it tried here, too: name it in STEPS.
    assert {step.partition(" ")[2] for step in start.steps} - set(UNIMPORTANT) == set(STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("step", EVERY)
def test_killed_at_every_step(victim: Victim, step: str) -> None:
    start = victim.start(die_at=[step])
    if not start.killed:
        pytest.skip("it comes less often")
    resume(victim, start, step)


def resume(victim: Victim, killed: Start, step: str) -> None:
    """Start again as Snakemake says it, and see that all ends well."""
    assert step.startswith(killed.last)
    victim.unlock()
    # It is what Snakemake asks for if outputs were being replaced.
    options = [RESUME] if "before snakemake.register" in killed.steps else []
    last = victim.start(*options)
    last.succeeded()
    has_ended_well(victim, last)


@pytest.mark.slow
def test_killed_on_and_on(victim: Victim) -> None:
    victim.kill_on_and_on((f"before {step}" for step in (*STEPS, *OF_THE_NEXT_RUN)), ENDING)
    victim.ended_well()


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["submitting", "ended"])
def test_killed_when_a_bundle_is_noted(
    project: Project, tmp_path: Path, step: str, when: str
) -> None:
    project.environment["SNAKEMAKE_GRID_BUNDLE"] = "5"
    victim = Victim(Scene(project, tmp_path), more=3)
    name = f"{when} BundleRegistry.{step}"
    start = victim.start("--jobs", "5", die_at=[name])
    assert start.killed, start.output
    resume(victim, start, name)
