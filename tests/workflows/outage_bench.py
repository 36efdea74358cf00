"""Runs whose jobs wait, beside a local server that can be stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running, Scene, local_sites


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(project, tmp_path)
    yield made
    made.end()
    for site in local_sites(project):
        os.kill(site, signal.SIGCONT)


def begin_jobs(scene: Scene, count: int, *args: str) -> Running:
    """Begin a run, and wait until its jobs have begun."""
    run = scene.begin(*args)
    run.until(lambda: len(scene.notes("begun")) == count)
    return run


def suspend_site(project: Project) -> int:
    """Suspend the local server, as on a machine that swaps; its jobs go on."""
    (site,) = local_sites(project)
    os.kill(site, signal.SIGSTOP)
    return site
