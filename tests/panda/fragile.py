"""The fixtures of the fault tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project, Site
from tests.servers.panda.fixture import can_isolate
from tests.servers.panda.server import PandaServer
from tests.servers.panda.settings import Delays

from .conftest import panda_site
from .faults import Scene


@pytest.fixture
def scene(
    project: Project, panda_server: PandaServer, tmp_path: Path, site: Site
) -> Iterator[Scene]:
    made = Scene(project, panda_server, tmp_path, tmp_path / "store")
    yield made
    panda_server.start()
    made.end()


@pytest.fixture
def slow_scene(tmp_path: Path, site: Site) -> Iterator[Scene]:
    """Return a project on a server that takes its time until a new task is known to JEDI."""
    folder = Path(tempfile.mkdtemp(prefix="panda-slow-"))
    server = PandaServer.create(folder, isolate=can_isolate(), delays=Delays(registration=6))
    (tmp_path / "slow").mkdir()
    store = tmp_path / "slow-store"
    try:
        server.start()
        project = Project(tmp_path / "slow", panda_site(server, store.as_uri()))
        with server.hidden(project.folder):
            made = Scene(project, server, tmp_path, store)
            yield made
            made.end()
    finally:
        server.remove()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"
