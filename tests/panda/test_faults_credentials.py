"""Tokens that expire or are refused while a run goes on: it waits, and no job suffers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import eventually, waiting_for

from .faults import FILES, STATUS, SUBMIT, Scene
from .fragile import go, scene

__all__ = ["go", "scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

WAITING = "Waiting for credentials: "
GOOD = "credentials are good again"
AGAIN = "Resubmitting it"
ANY_TIME = ("--grid-proxy-hours", "0.001")


def both_ran_once(scene: Scene) -> None:
    assert scene.notes() == {"running": 1, "later": 1}
    assert scene.statuses() == {"finished": 2}
    assert len(scene.tasks()) == 2


def keep(scene: Scene, seconds: float, *, refresh_token: str = "") -> Path:
    """Put a token where panda-client keeps its own."""
    folder = scene.project.folder.with_name("home")
    folder.mkdir(exist_ok=True)
    file = folder / ".token"
    fields = {"id_token": scene.server.token(seconds=seconds), "refresh_token": refresh_token}
    file.write_text(json.dumps(fields))
    scene.project.environment |= {"OIDC_AUTH_TOKEN_FILE": "", "PANDA_CONFIG_ROOT": str(folder)}
    return file


def test_the_token_is_refreshed_before_it_expires(scene: Scene, go: Path) -> None:
    scene.one_after_the_other(go)
    scene.server.oidc(lifetime=3600)
    file = keep(scene, 60, refresh_token=scene.server.refresh_token())
    before = file.read_text()
    run = scene.begin()
    run.until(lambda: scene.notes("running"))
    assert scene.asked("/oidc/token") == 1
    assert file.read_text() != before
    go.touch()
    finished = run.finish().succeeded()
    assert WAITING not in finished.output
    assert scene.asked("/oidc/token") == 1
    assert file.stat().st_mode & 0o777 == 0o600
    both_ran_once(scene)


def test_the_user_logs_in_when_the_token_cannot_be_refreshed(scene: Scene, go: Path) -> None:
    scene.one_after_the_other(go)
    file = keep(scene, 12, refresh_token="no longer valid")
    run = scene.begin(*ANY_TIME)
    run.until(lambda: scene.notes("running"))
    run.tells(WAITING, "run 'snakemake-grid auth'")
    go.touch()
    eventually(lambda: scene.statuses() == {"finished": 1})
    scene.server.oidc(approved="Alice Test")
    scene.server.write_token(seconds=-1)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("snakemake-grid")), "auth"],
        env=scene.project.env(),
        input="y\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text())["id_token"]
    run.tells(GOOD, seconds=30)
    finished = run.finish().succeeded()
    assert finished.output.count(WAITING) == finished.output.count(GOOD) == 1
    both_ran_once(scene)


def test_the_server_refuses_a_token_that_looks_good(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    scene.server.fault("refuse", times=None)
    run.tells(WAITING, "Signature has expired", "run 'snakemake-grid auth'")
    go.touch()
    eventually(lambda: scene.statuses() == {"finished": 2})
    refused = scene.asked(STATUS)
    time.sleep(12)  # every 10 s the run looks at the token, which is good
    assert scene.asked(STATUS) > refused
    assert run.output.count(WAITING) == 1
    scene.server.clear_faults()
    finished = run.finish().succeeded()
    assert finished.output.count(WAITING) == finished.output.count(GOOD) == 1
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_single_requests_are_refused(scene: Scene) -> None:
    scene.many(2)
    for path in (SUBMIT, STATUS, FILES):
        scene.server.fault("refuse", path)
    finished = scene.begin().finish().succeeded()
    assert scene.asked(SUBMIT) == 2
    assert AGAIN not in finished.output
    scene.each_ran_once(2)
