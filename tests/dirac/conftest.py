"""Fixtures of the tests on a real DIRAC server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import LocalServer, MakeProject, Project
from tests.servers.dirac.fixture import dirac_server
from tests.servers.dirac.server import UNSET, DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, PARKED_SITE
from tests.servers.stores.fixtures import s3, webdav

from .hiding import hidden

__all__ = ["dirac_server", "s3", "webdav"]


def dirac_site(server: DiracServer, user: str = "ciuser") -> LocalServer:
    """Return a DIRAC server as a site for projects of a user."""
    options = (
        *("--grid-backend", "dirac", "--grid-dirac-python", str(server.settings.python)),
        # Nothing runs there: a job that is sent again, to another site, would wait for ever.
        *("--grid-banned-sites", PARKED_SITE),
        *("--seconds-between-status-checks", "1"),
    )
    return LocalServer("dirac", LOCAL_SITE, server.folder, options, server.environment(user))


@pytest.fixture
def site(dirac_server: DiracServer, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    return dirac_site(dirac_server)


@pytest.fixture
def project(make_project: MakeProject, dirac_server: DiracServer) -> Iterator[Project]:
    """Return a project in an empty directory, which jobs cannot see."""
    made = make_project("project")
    with hidden(made.folder, dirac_server):
        yield made
