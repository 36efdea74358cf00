"""A directory that another run uses, has left locked or has jobs of, or that is copied."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Scene, eventually, local_sites, waiting_for

from .outage_bench import begin_jobs, go, scene, suspend_site

__all__ = ["go", "scene"]

pytestmark = pytest.mark.workflow


def test_two_runs_in_one_directory(scene: Scene, go: Path) -> None:
    scene.many(1, wait=waiting_for(go))
    run = begin_jobs(scene, 1)
    for options, words in (
        ([], "Directory cannot be locked"),
        (["--nolock"], "another run with --executor grid is going on in"),
    ):
        second = scene.project.run(*options).failed()
        assert words in second.output
    go.touch()
    run.finish().succeeded()
    scene.outputs_are_there(1)


def test_lock_left_by_a_killed_run(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begin_jobs(scene, 2)
    run.kill()
    locked = scene.project.run().failed()
    assert "Directory cannot be locked" in locked.output
    assert "--unlock" in locked.output
    scene.project.run("--unlock").succeeded()
    go.touch()
    again = scene.begin().finish().succeeded()
    assert "Going on with 2 job(s) of an earlier run" in again.output
    scene.outputs_are_there(2)


def test_second_interrupt_ends_the_run_at_once(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begin_jobs(scene, 2)
    site = suspend_site(scene.project)
    run.interrupt_a_slow_cancel()
    left = run.finish(12).failed()
    assert re.search(
        r"Not confirmed to be cancelled: 1 \(rule a \(n=\d\)\), 2 \(rule a", left.output
    ), left.output
    assert "The next run in this directory cancels them" in left.output
    # The local server loses the pending request.
    os.kill(site, signal.SIGKILL)
    eventually(lambda: not local_sites(scene.project))
    resumed = scene.begin()
    resumed.tells("Cancelling 2 job(s) of an earlier run")
    resumed.until(lambda: scene.notes("begun") == {"begun-0": 2, "begun-1": 2})
    go.touch()
    resumed.finish().succeeded()
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}
    assert [scene.project.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]


def test_copied_directory_has_no_jobs_of_the_original(
    scene: Scene, go: Path, tmp_path: Path
) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begin_jobs(scene, 2)
    run.kill()
    folder = scene.project.folder
    subprocess.run(["cp", "-a", folder, tmp_path / "copy"], check=True)
    go.touch()
    copy = Project(tmp_path / "copy", scene.project.site)
    other = copy.run("--nolock").succeeded()
    assert "Going on with" not in other.output
    assert [copy.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]
    assert not (folder / "out/0.txt").exists()
    resumed = scene.begin("--nolock").finish().succeeded()
    assert "Going on with 2 job(s) of an earlier run" in resumed.output
    assert [scene.project.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]
    assert scene.notes() == {f"{mark}-{n}": 2 for mark in ("begun", "ended") for n in range(2)}
    with suppress(FileNotFoundError):
        assert not list(scene.project.site.folder.iterdir())
