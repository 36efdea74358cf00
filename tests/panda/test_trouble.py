"""Trouble that lasts, on a PanDA server: it is waited out, and what is left is taken up again."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running, eventually, meddle, waiting_for
from tests.servers.panda.server import PandaServer
from tests.servers.stores.fixtures import s3
from tests.servers.stores.s3 import S3Server

from .conftest import SITE, panda_site
from .faults import STATUS, Scene
from .fragile import go, scene

__all__ = ["go", "s3", "scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

DOWN = "does not answer"
UP = "answers again"
AGAIN = "Resubmitting it"
OPEN = "jobs were failed by the grid for the same reason"
PROBE = "Sending one job to try"
CLOSED = "Jobs are submitted again"

# It is five minutes, in which a test would only wait.
SHORT_PAUSE = """
from snakemake_executor_plugin_grid.resilience import circuit_breaker as breaker
breaker._FIRST_PAUSE = 6.0
"""


def begun(scene: Scene, count: int, *args: str) -> Running:
    """Begin a run, and wait until its jobs have begun."""
    run = scene.begin(*args)
    run.until(lambda: len(scene.notes("begun")) == count)
    return run


def left_behind(run: Running, count: int, who: str, seconds: int) -> None:
    """See that a run has said why it ends, and how to go on."""
    left = run.finish(60).failed()
    assert left.code == 1, left.output
    words = f"The run ends: {who} has not answered for {seconds} s, .*--grid-outage-limit"
    assert re.search(words, left.output), left.output
    assert f"{count} stay on the grid" in left.output, left.output
    assert "run the same command again" in left.output
    assert left.output.count(DOWN) == 1
    assert UP not in left.output
    assert "cancelled" not in left.output
    assert "Error in rule" not in left.output


# The server


def test_an_outage_of_many_rounds(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2)
    scene.server.forget_requests()
    scene.server.fault("status", times=None)
    run.tells(DOWN)
    go.touch()
    time.sleep(22)
    came = [when for path, when, _ in scene.server.requests().times if path.endswith(STATUS)]
    # Those that were answered before it do not count.
    pauses = [later - earlier for earlier, later in itertools.pairwise(came)][-4:]
    assert len(came) >= 2, came
    assert pauses[-1] > 5 > pauses[0] > 0.4, pauses
    assert sum(when > came[-1] - 20 for when in came) <= 8, "that is no back-off"
    assert scene.notes() == {f"{mark}-{n}": 1 for mark in ("begun", "ended") for n in (0, 1)}
    scene.server.clear_faults()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_a_second_interrupt_leaves_at_once(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2)
    scene.server.fault("hang", "kill", times=None)
    run.interrupt_a_slow_cancel()
    left = run.finish(12).failed()
    assert re.search(r"Not confirmed to be cancelled: .*rule a \(n=\d\)\), .*rule a", left.output)
    assert "The next run in this directory cancels them" in left.output
    assert scene.statuses() == {"running": 2}
    scene.server.clear_faults()
    resumed = scene.begin()
    resumed.tells("Cancelling 2 job(s) of an earlier run: cancellation pending")
    resumed.until(lambda: scene.notes("begun") == {"begun-0": 2, "begun-1": 2})
    go.touch()
    resumed.finish().succeeded()
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}
    assert scene.statuses() == {"cancelled": 2, "finished": 2}


# The store


@pytest.fixture
def s3_scene(
    panda_server: PandaServer, scene: Scene, s3: S3Server, tmp_path: Path
) -> Iterator[Scene]:
    folder, marks = tmp_path / "s3", tmp_path / "marks"
    folder.mkdir()
    marks.mkdir()
    project = Project(folder, panda_site(panda_server, "s3://bucket/me"))
    project.environment |= s3.environment
    with panda_server.hidden(folder):
        made = Scene(project, panda_server, marks, tmp_path)
        yield made
        made.end()


def fetching(scene: Scene, s3: S3Server, go: Path, *args: str) -> Running:
    """Begin a run, and take its store away when outputs are to be fetched from there."""
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2, *args)
    # Its states are asked for again when the store is away.
    scene.server.fault("slow", STATUS, times=None, seconds=6)
    go.touch()
    eventually(lambda: scene.statuses() == {"finished": 2})
    s3.stop()
    scene.server.clear_faults()
    run.tells(f"{DOWN}, asked for the size of a file")
    return run


def test_a_store_that_is_away_for_long(s3_scene: Scene, s3: S3Server, go: Path) -> None:
    run = fetching(s3_scene, s3, go)
    time.sleep(12)
    assert run.process.poll() is None, run.output
    s3.start()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1, finished.output
    assert AGAIN not in finished.output
    s3_scene.each_ran_once(2)


def test_a_store_that_is_away_past_the_limit(s3_scene: Scene, s3: S3Server, go: Path) -> None:
    options = ("--grid-outage-limit", "0.003")
    run = fetching(s3_scene, s3, go, *options)
    left_behind(run, 2, ".*", 11)
    s3.start()
    again = s3_scene.begin(*options).finish().succeeded()
    assert "Going on with 2 job(s) of an earlier run" in again.output
    s3_scene.each_ran_once(2)


# The circuit breaker


def test_a_site_that_fails_all_jobs_gets_no_more_until_it_is_mended(
    scene: Scene, tmp_path: Path
) -> None:
    count = 12
    meddle(scene.project, tmp_path / "code", SHORT_PAUSE)
    scene.many(count)
    scene.server.spoil_site(SITE, "pilot_error")
    run = scene.begin("--jobs", str(count), "--grid-infrastructure-retries", "2", "--retries", "0")
    run.tells(OPEN, "Failed to stage-in file")
    run.tells(PROBE)
    run.tells("The grid has failed the job sent to try, for the same reason")
    failed = scene.statuses()["failed"]
    # Each once, and those that were sent again before ten had come back, and the one to try.
    assert count < failed <= count + 9 + 1
    scene.server.mend_site(SITE)
    finished = run.finish().succeeded()
    for words in (OPEN, CLOSED):
        assert finished.output.count(words) == 1, finished.output
    assert finished.output.count(PROBE) == 2
    scene.outputs_are_there(count)
    assert scene.statuses() == {"failed": failed, "finished": count}
