"""What goes wrong on a grid: no job is lost, none runs twice, and the user is told once."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.faults import Scene, eventually, waiting_for

from .backend import Backend

pytestmark = pytest.mark.workflow

DOWN = "does not answer, asked for"
UP = "answers again"
AGAIN = "Resubmitting it"
WAITING = "Waiting for credentials"
GOOD = "credentials are good again"
AFTER_KILL = ("--nolock", "--rerun-incomplete")
BRIEF = ("--grid-outage-limit", "0.002")
"""Hours."""
SOON = 20
"""Seconds in which a run that leaves its jobs has ended, on a busy machine."""


def test_an_interrupt_cancels_all_jobs(backend: Backend, scene: Scene) -> None:
    scene.many(3, wait="sleep 100")
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) >= 2)
    run.interrupt()
    output = run.finish(90).failed().output
    assert "3 job(s) cancelled" in output
    assert "Not confirmed" not in output
    eventually(lambda: not backend.active(scene.project))
    assert scene.notes("ended") == {}
    assert not list(scene.project.folder.glob("out/*"))


def test_jobs_are_left_and_taken_up_again(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin("--grid-on-interrupt", "keep")
    run.until(lambda: len(scene.notes("begun")) == 2)
    began = time.monotonic()
    run.interrupt()
    left = run.finish().failed().output
    assert time.monotonic() - began < SOON, left
    assert "2 stay on the grid" in left
    assert "run the same command again" in left
    # Now as cron does it: no call waits for a job.
    idle = scene.begin("--grid-detach").finish().succeeded().output
    assert "Going on with 2 job(s)" in idle
    assert "0 job(s) came back in this run; 2 stay on the grid" in idle
    go.touch()
    outputs = [scene.project.folder / "out" / f"{n}.txt" for n in range(2)]
    end = time.monotonic() + 90
    while not all(path.exists() for path in outputs):
        last = scene.begin("--grid-detach").finish().succeeded().output
        assert time.monotonic() < end, last
    scene.outputs_are_there(2)


def test_a_killed_run_is_followed_by_one_that_goes_on(
    backend: Backend, scene: Scene, go: Path
) -> None:
    scene.many(3, wait=f"test {{wildcards.n}} = 0 || {waiting_for(go)}")
    bundled = bool(os.environ.get("GRID_TEST_BUNDLE"))
    over = 0 if bundled and not backend.reports_one_by_one else 1
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 3 and (not over or "1 of 4 steps" in run.output))
    run.kill()
    resumed = scene.begin(*AFTER_KILL)
    resumed.tells(f"Going on with {3 - over} job(s) of an earlier run")
    go.touch()
    resumed.finish().succeeded()
    scene.outputs_are_there(3)
    eventually(lambda: not backend.active(scene.project))


def test_an_outage_is_waited_out(backend: Backend, scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    with backend.outage(scene.project):
        run.tells(DOWN)
        go.touch()
        eventually(lambda: len(scene.notes("ended")) == 2)
        assert run.process.poll() is None, run.output
    output = run.finish().succeeded().output
    assert output.count(DOWN) == output.count(UP) == 1, output
    assert AGAIN not in output
    scene.outputs_are_there(2)


def test_an_outage_past_its_limit_leaves_the_jobs(backend: Backend, scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin(*BRIEF)
    run.until(lambda: len(scene.notes("begun")) == 2)
    with backend.outage(scene.project):
        left = run.finish().failed()
    assert left.code == 1, left.output
    words = rf"{backend.name} has not answered for \d+ s, .*--grid-outage-limit"
    assert re.search(words, left.output), left.output
    assert "2 stay on the grid" in left.output
    assert "Error in rule" not in left.output
    go.touch()
    again = scene.begin().finish().succeeded().output
    assert "Going on with 2 job(s) of an earlier run" in again
    scene.outputs_are_there(2)


def test_expired_credentials_are_waited_for(backend: Backend, scene: Scene, go: Path) -> None:
    if not backend.has_credentials:
        pytest.skip(f"{backend.name} has no credentials")
    project = scene.project
    scene.one_after_the_other(go)
    backend.set_lifetime(project, 24)
    run = scene.begin("--grid-proxy-hours", "0.001")
    run.until(lambda: scene.notes("running"))
    run.tells(f"{WAITING}: ", "expired")
    go.touch()
    run.until((project.folder / "prepared.txt").exists)
    eventually(lambda: not backend.active(project))
    assert run.process.poll() is None, run.output
    assert scene.notes() == {"running": 1}
    backend.set_lifetime(project, 86400)
    run.tells(GOOD)
    output = run.finish().succeeded().output
    assert output.count(WAITING) == output.count(GOOD) == 1
    assert "eyJ" not in output, "a token was shown"
    assert AGAIN not in output
    assert scene.notes() == {"running": 1, "later": 1}


def test_what_the_infrastructure_has_failed_is_sent_again(backend: Backend, scene: Scene) -> None:
    if not backend.sends_again:
        pytest.skip(f"{backend.name} has one site, and sends nothing to another")
    scene.many(2)
    output = scene.begin(*backend.failing_once(), "--retries", "0").finish().succeeded().output
    assert output.count(AGAIN) == 1
    scene.outputs_are_there(2)
