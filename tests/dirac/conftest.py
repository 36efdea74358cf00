"""Fixtures of the tests on a real DIRAC server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.servers.dirac.fixture import dirac_server, virtual_environment
from tests.servers.dirac.server import UNSET, DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, PARKED_SITE, SECOND_SITE
from tests.servers.stores.fixtures import s3, webdav

from .faults import Scene
from .hiding import hidden

__all__ = ["dirac_server", "s3", "webdav"]

MAX_PARAMETRIC_JOBS = 2
"""Of the server that tests break."""


def dirac_site(server: DiracServer, *others: str) -> Site:
    """Return a DIRAC server as a site for projects.

    Args:
        server: Runs.
        others: Sites where jobs may run, beside the first.
    """
    # Nothing runs at the parked one: a job that is sent again would wait there for ever.
    banned = {SECOND_SITE, PARKED_SITE}.difference(others)
    options = (
        *("--grid-backend", "dirac", "--grid-dirac-python", str(server.settings.python)),
        *("--grid-banned-sites", ",".join(sorted(banned))),
        *("--seconds-between-status-checks", "1"),
    )
    return Site("dirac", LOCAL_SITE, server.folder, options, server.environment())


@pytest.fixture
def site(dirac_server: DiracServer, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    return dirac_site(dirac_server)


@pytest.fixture
def project(make_project: MakeProject, dirac_server: DiracServer) -> Iterator[Project]:
    """Return a project in an empty directory, which jobs cannot see."""
    made = make_project("project")
    with hidden(made.folder, dirac_server):
        yield made


@pytest.fixture(scope="session")
def fragile_server() -> Iterator[DiracServer]:
    """Return a DIRAC server with two sites, which tests of its group may break.

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
