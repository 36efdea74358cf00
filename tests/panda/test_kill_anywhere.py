"""The controller is killed at its steps, on the PanDA server: no payload runs twice."""

from __future__ import annotations

import pytest

from tests.faults import eventually
from tests.kills import RISKY, Victim
from tests.servers.panda.fixture import panda_server
from tests.servers.panda.model import FINAL_JOB

from .faults import Scene
from .fragile import scene

__all__ = ["panda_server", "scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

CHAIN = (
    "before Journal.submitting",
    "before client.upload",
    "after client.upload",
    "after sending submit",
    "after backend.find",
    "after Journal.adopted",
    "before backend.states",
    "after backend.retrieve",
    "after incoming.install",
    "after Journal.ended",
    "before snakemake.postprocess",
    "after store.drop",
    "after client.submit",
)


@pytest.fixture
def victim(scene: Scene) -> Victim:
    return Victim(scene)


def has_ended_well(victim: Victim) -> None:
    """See that all is done once, here and on the server."""
    victim.ended_well()
    scene = victim.scene
    assert isinstance(scene, Scene)
    eventually(lambda: all(job["status"] in FINAL_JOB for job in scene.jobs()), 15)
    assert scene.statuses()["finished"] == 3, scene.jobs()


def test_killed_on_and_on(victim: Victim) -> None:
    victim.kill_on_and_on(CHAIN)
    has_ended_well(victim)


@pytest.mark.parametrize(
    "step",
    [
        "after client.upload",  # the sandbox is in the cache, and nobody has asked for a task
        "after sending submit",
        "after client.submit",  # the task is there, and the ledger has no id of it
        *RISKY,
    ],
)
def test_killed_twice_at_the_same_step(victim: Victim, step: str) -> None:
    victim.kill_twice(step)
    has_ended_well(victim)
