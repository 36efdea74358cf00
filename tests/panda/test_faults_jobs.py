"""Faults under a job, and of the submit host: what is left is taken up, and all ends well."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.client import Client
from snakemake_executor_plugin_grid.model.errors import TransientError
from tests.faults import eventually, waiting_for
from tests.servers.panda.fixture import panda_server

from .conftest import SITE
from .faults import STATUS, UPLOAD, Scene
from .fragile import go, scene, slow_scene

__all__ = ["go", "panda_server", "scene", "slow_scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

DOWN = "does not answer"
AGAIN = "Resubmitting it"
RESUME = ("--nolock", "--rerun-incomplete")


def kill_pilots(scene: Scene) -> None:
    """Kill all that runs at the sites, by SIGKILL, as when worker nodes go down."""
    folders = [f"{scene.server.pilot(job)}/" for job in scene.jobs() if job["status"] == "running"]
    assert folders
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            where = f"{(entry / 'cwd').readlink()}/"
            if any(where.startswith(folder) for folder in folders):
                os.kill(int(entry.name), signal.SIGKILL)


# The cache loses files


@pytest.mark.parametrize("lost", ["sandbox", "input"])
def test_the_cache_loses_a_file(scene: Scene, lost: str) -> None:
    with (scene.project.folder / "large.bin").open("wb") as file:
        file.write(bytes(range(256)) * 1024)
    scene.many(2, more='input: "large.bin"')
    scene.server.spoil_site(SITE, "closed")
    run = scene.begin("--jobs", "2")
    run.until(lambda: scene.statuses() == {"activated": 2})
    of_task = str(scene.tasks()[0]["parameters"])
    names = [path.name for path in scene.server.settings.cache.iterdir()]
    for name in names:
        if (name in of_task) == (lost == "sandbox"):
            scene.server.lose_cached(name)
    uploads = scene.asked(UPLOAD)
    scene.server.mend_site(SITE)
    finished = run.finish().succeeded()
    assert scene.asked(UPLOAD) > uploads
    assert finished.output.count(AGAIN) == 2
    scene.outputs_are_there(2)
    assert scene.statuses()["finished"] == 2


# Pilots


def test_a_pilot_is_killed_under_its_job(scene: Scene, go: Path) -> None:
    # A site is avoided only if another one is known to run jobs.
    for site in ("SITE_A", "SITE_B"):
        scene.project.put("Snakefile", f"rule a:\n    output: '{site}'\n    shell: 'touch {site}'")
        scene.project.run("--grid-site", site).succeeded()
    scene.many(1, wait=waiting_for(go))
    run = scene.begin("--grid-site", "SITE_A,SITE_B")
    run.until(lambda: scene.notes("begun"))
    kill_pilots(scene)
    run.tells(AGAIN)
    go.touch()
    finished = run.finish().succeeded()
    assert "lost heartbeat" in finished.output
    assert scene.notes() == {"begun-0": 2, "ended-0": 1}
    first, second = scene.jobs()[-2:]
    assert (first["status"], second["status"]) == ("failed", "finished")
    assert first["site"] != second["site"]


def test_pilots_are_killed_until_the_budget_is_spent(scene: Scene) -> None:
    scene.many(1, wait="sleep 100")
    run = scene.begin("--grid-infrastructure-retries", "1", "--retries", "0")
    for count in (1, 2):
        run.until(lambda count=count: scene.notes("begun")["begun-0"] == count)
        run.until(lambda: scene.statuses()["running"] == 1)
        kill_pilots(scene)
    finished = run.finish().failed()
    assert finished.output.count(AGAIN) == 1
    assert finished.output.count("lost heartbeat") >= 2
    assert scene.notes() == {"begun-0": 2}
    assert scene.statuses() == {"failed": 2}


# The submit host


def test_the_submit_host_goes_down_before_its_task_is_registered(
    slow_scene: Scene, go: Path
) -> None:
    scene = slow_scene
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.tells("the jobs of this run are in tasks named")
    run.kill()
    assert scene.task_statuses() == ["waiting"]
    resumed = scene.begin(*RESUME)
    resumed.tells("Going on with 2 job(s) of an earlier run")
    resumed.until(lambda: len(scene.notes("begun")) == 2)
    go.touch()
    resumed.finish().succeeded()
    scene.each_ran_once(2)


def test_an_interrupt_before_the_task_is_registered(slow_scene: Scene) -> None:
    scene = slow_scene
    scene.many(2, wait="sleep 100")
    run = scene.begin()
    run.tells("the jobs of this run are in tasks named")
    assert scene.task_statuses() == ["waiting"]
    run.interrupt()
    finished = run.finish(60).failed()
    assert "2 job(s) cancelled." in finished.output
    eventually(lambda: scene.task_statuses() == ["aborted"])
    assert set(scene.statuses()) <= {"cancelled"}


def test_an_interrupt_while_the_server_is_down(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    number = scene.tasks()[0]["number"]
    scene.server.kill()
    run.tells(DOWN)
    run.interrupt()
    finished = run.finish(60).failed()
    assert "Not confirmed to be cancelled: " in finished.output
    assert f"{number}:a-" in finished.output
    assert "The next run in this directory cancels them" in finished.output
    scene.server.start()
    assert scene.statuses() == {"running": 2}
    resumed = scene.begin(*RESUME)
    resumed.tells("Cancelling 2 job(s) of an earlier run")
    resumed.until(lambda: sum(scene.notes("begun").values()) == 4)
    go.touch()
    resumed.finish().succeeded()
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}
    assert scene.statuses() == {"finished": 2, "cancelled": 2}


# A call that hangs


@pytest.fixture
def client(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    for name, value in scene.project.site.environment.items():
        monkeypatch.setenv(name, value)
    return Client(Path(scene.project.command()[0]), tmp_path / "panda.log")


def test_a_call_that_hangs_is_ended_with_its_process(client: Client, scene: Scene) -> None:
    scene.server.fault("hang", STATUS)
    with pytest.raises(TransientError, match="has not answered status within 3 s"):
        client.call_now("status", 1, limit=3)
    assert scene.asked(STATUS) == 1
    client.call_now("hello")
    assert scene.asked("is_alive") == 1
    client.close()
