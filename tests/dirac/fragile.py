"""The fixtures of the fault tests: a DIRAC server of their own, as they break it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.servers.dirac.fixture import virtual_environment
from tests.servers.dirac.server import UNSET, DiracServer
from tests.servers.dirac.settings import SECOND_SITE

from .conftest import dirac_site
from .faults import Scene

MAX_PARAMETRIC_JOBS = 2


@pytest.fixture(scope="session")
def fragile_server() -> Iterator[DiracServer]:
    """Return a DIRAC server with two sites, on which no other tests run.

    ``GRID_TEST_FRAGILE_DIR`` names the folder of a running one to use instead; it needs the
    options ``--agents 2 --max-parametric-jobs 2``.
    """
    if running := os.environ.get("GRID_TEST_FRAGILE_DIR"):
        yield DiracServer.load(Path(running))
        return
    venv = virtual_environment()
    folder = Path(tempfile.mkdtemp(prefix="fragile-"))  # a socket's path must be short
    server = DiracServer.create(
        folder,
        venv,
        agents=2,
        max_parametric_jobs=MAX_PARAMETRIC_JOBS,
    )
    try:
        server.up()
        yield server
    finally:
        server.remove()


@pytest.fixture
def scene(
    fragile_server: DiracServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """Return a project for the fragile server; all of that is up before, and again after."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    mend(fragile_server)
    made = Scene(Project(folder, dirac_site(fragile_server, SECOND_SITE)), fragile_server, tmp_path)
    yield made
    mend(fragile_server)
    made.end()


def mend(server: DiracServer) -> None:
    """Start whatever is not running, and give the user a proxy for a day."""
    for name, component in server.components.items():
        if component.worker is None:
            server.start(name)
    for number in range(1, server.settings.agents + 1):
        server.start_agent(number)
    server.make_proxy()
