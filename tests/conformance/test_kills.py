"""The run is killed at its risky steps: no payload runs twice, and nothing is lost."""

from __future__ import annotations

import os

import pytest

from tests.faults import Scene, eventually
from tests.kills import Victim

from .backend import Backend
from .conftest import BACKENDS, marks_of

pytestmark = pytest.mark.workflow

EACH = [
    pytest.param(kind, step, id=f"{kind.name}-{step}", marks=marks_of(kind))
    for kind in BACKENDS
    for step in kind.risky
]


@pytest.fixture
def victim(scene: Scene) -> Victim:
    more = int(os.environ.get("GRID_TEST_BUNDLE", "2")) - 2  # a bundle of those that begin
    return Victim(scene, more=more)


def test_killed_on_and_on(backend: Backend, victim: Victim) -> None:
    victim.kill_on_and_on(backend.kills)
    has_ended_well(backend, victim)


@pytest.mark.parametrize(("backend", "step"), EACH, indirect=["backend"])
def test_killed_twice_at_the_same_step(backend: Backend, victim: Victim, step: str) -> None:
    victim.kill_twice(step)
    has_ended_well(backend, victim)


def has_ended_well(backend: Backend, victim: Victim) -> None:
    victim.ended_well()
    eventually(lambda: not backend.active(victim.scene.project), 15)
