"""SIGTERM leaves the jobs within seconds, whatever is going on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Finished, Project
from tests.faults import Running, Scene, eventually, meddle, waiting_for

pytestmark = pytest.mark.workflow

SOON = 20
"""Seconds for the end of a run on a busy machine; the run itself takes eight at most."""
TERMINATED = 143
_HANGS = """
import time
from snakemake_executor_plugin_grid.{module} import {owner}
def hangs(*_, **__):
    open({mark!r}, "w").close()
    time.sleep(300)
{owner}.{function} = hangs
"""


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Scene:
    return Scene(project, tmp_path)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file that the jobs wait for."""
    return tmp_path / "go"


def terminated(run: Running, times: int = 1) -> Finished:
    """Send SIGTERM as `timeout` does, to the process and to its group; wait for the end."""
    began = time.monotonic()
    for number in range(times):
        (os.killpg if number % 2 else os.kill)(run.process.pid, signal.SIGTERM)
    left = run.finish(60)
    assert time.monotonic() - began < SOON, left.output
    assert left.code == TERMINATED, left.output
    assert "Traceback" not in left.output, left.output
    assert "cancelled" not in left.output, left.output
    return left


def continues(scene: Scene, go: Path, count: int) -> Finished:
    """Run again, without any other option; see that each job has run once."""
    go.touch()
    again = scene.begin().finish().succeeded()
    scene.outputs_are_there(count)
    return again


@pytest.mark.parametrize("times", [1, 2, 5])
def test_jobs_that_run_are_left(scene: Scene, go: Path, times: int) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    left = terminated(run, times)
    assert "2 stay on the grid" in left.output
    assert "run the same command again" in left.output.splitlines()[-1]
    assert "Going on with 2 job(s)" in continues(scene, go, 2).output


def hang(scene: Scene, folder: Path, module: str, owner: str, function: str) -> Path:
    """Let a function of the run hang; return the file that appears when it does."""
    mark = folder / "hangs"
    code = _HANGS.format(module=module, owner=owner, function=function, mark=str(mark))
    meddle(scene.project, folder / "code", code)
    return mark


@pytest.mark.parametrize(
    ("module", "owner", "function"),
    [
        pytest.param("staging.upload", "Upload", "send_sources", marks=pytest.mark.slow),
        pytest.param("staging.upload", "Upload", "prepare", marks=pytest.mark.slow),
        ("planning.planner", "Planner", "plan"),
        ("engine.outputs", "Outputs", "fetch"),
    ],
)
def test_what_hangs_on_this_host_is_not_waited_for(
    scene: Scene, go: Path, tmp_path: Path, module: str, owner: str, function: str
) -> None:
    go.touch()
    # Files of the workflow are sent for jobs that run Snakemake.
    scene.many(2, more="resources: grid_decide='never'")
    environment = dict(scene.project.environment)
    mark = hang(scene, tmp_path, module, owner, function)
    run = scene.begin()
    run.until(mark.exists)
    terminated(run, 2)
    scene.project.environment = environment
    continues(scene, go, 2)


def test_a_local_job_is_ended(scene: Scene, go: Path) -> None:
    scene.one_after_the_other(go)
    run = scene.begin()
    run.until(lambda: scene.notes("running"))
    waits = waiting_for(go).encode()
    here = os.fsencode(scene.project.folder)

    def runs_here() -> list[bytes]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes()
                if waits in line and os.fsencode((entry / "cwd").readlink()) == here:
                    found.append(line)
            except OSError:
                continue
        return found

    run.until(lambda: bool(runs_here()))
    left = terminated(run)
    assert "1 stay on the grid" in left.output
    eventually(lambda: not runs_here(), 5)
    go.touch()
    scene.begin().finish().succeeded()
    assert scene.notes() == {"running": 1, "later": 1}
