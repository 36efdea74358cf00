"""Faults of the store between worker nodes and submit host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running, eventually, waiting_for
from tests.servers.panda.server import PandaServer
from tests.servers.stores.fixtures import s3
from tests.servers.stores.s3 import S3Server

from .conftest import panda_site
from .faults import STATUS, Scene
from .fragile import go, scene

__all__ = ["go", "s3", "scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

DOWN = "does not answer"
UP = "answers again"
AGAIN = "Resubmitting it"


@pytest.fixture
def s3_scene(
    scene: Scene, s3: S3Server, panda_server: PandaServer, tmp_path: Path
) -> Iterator[Scene]:
    site = panda_site(panda_server, "s3://bucket/me")
    (tmp_path / "s3").mkdir()
    project = Project(tmp_path / "s3", site)
    project.environment |= s3.environment
    (tmp_path / "marks").mkdir()
    with panda_server.hidden(project.folder):
        made = Scene(project, panda_server, tmp_path / "marks", tmp_path)
        yield made
        made.end()


def test_the_store_is_away_when_outputs_are_put_there(
    s3_scene: Scene, s3: S3Server, go: Path
) -> None:
    scene = s3_scene
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    before = s3.keys("bucket")
    s3.stop()
    go.touch()
    run.until(lambda: len(scene.notes("ended")) == 2)
    run.until(lambda: scene.statuses() == {"running": 2})
    s3.start()
    assert s3.keys("bucket") == before
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_the_store_is_away_when_outputs_are_fetched(
    s3_scene: Scene, s3: S3Server, go: Path
) -> None:
    scene = s3_scene
    scene.many(2, wait=waiting_for(go))
    run = held(scene, go)
    s3.stop()
    scene.server.clear_faults()
    run.tells("asked for the size of a file")
    assert not list(scene.project.folder.glob("out/*"))
    s3.start()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_the_folder_is_away_when_outputs_are_put_there(scene: Scene, go: Path) -> None:
    scene.many(1, wait=waiting_for(go))
    run = scene.begin("--grid-site", "")
    run.until(lambda: scene.notes("begun"))
    away = scene.store.with_name("away")
    scene.store.rename(away)
    go.touch()
    run.until(lambda: scene.statuses()["failed"] == 1)
    assert not scene.store.exists(), "a folder was made that nobody else would see"
    away.rename(scene.store)
    finished = run.finish().succeeded()
    assert finished.output.count(AGAIN) == 1
    assert "not bring its report to the store" in finished.output
    assert scene.notes() == {"begun-0": 2, "ended-0": 2}
    assert scene.statuses() == {"failed": 1, "finished": 1}
    assert scene.project.read("out/0.txt") == "0\n"


def held(scene: Scene, go: Path) -> Running:
    """Begin a run that does not hear of the end of its jobs."""
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    scene.server.fault("status", STATUS, times=None)
    run.tells(DOWN)
    go.touch()
    eventually(lambda: scene.statuses() == {"finished": 2})
    return run


@pytest.mark.parametrize("what", ["report", "tarball"])
def test_a_result_is_damaged(scene: Scene, go: Path, what: str) -> None:
    scene.many(2, wait=waiting_for(go))
    run = held(scene, go)
    inboxes = sorted((scene.store / "delivered").iterdir())
    assert len(inboxes) == 2
    for file in inboxes[0].iterdir():
        if what == "report" and file.name == "report.json":
            file.write_text(file.read_text()[:-20])
        if what == "tarball" and len(file.name) == 64:
            file.write_bytes(file.read_bytes()[:-600] + b"?" * 600)
    scene.server.clear_faults()
    failed = run.finish().failed()
    assert "damaged" in failed.output
    (there,) = scene.project.folder.glob("out/*")
    (missing,) = {"0.txt", "1.txt"} - {there.name}
    assert f"rule a (n={missing[0]}), panda job" in failed.output
    # The rule's own retries run it again; nothing else does.
    scene.begin("--rerun-incomplete").finish().succeeded()
    assert scene.notes(f"ended-{missing[0]}")[f"ended-{missing[0]}"] == 2
    assert scene.notes(f"ended-{there.name[0]}")[f"ended-{there.name[0]}"] == 1
