"""Fixtures of the tests on a real DIRAC server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.servers.dirac.fixture import dirac_server
from tests.servers.dirac.server import UNSET, DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, PARKED_SITE, SECOND_SITE
from tests.servers.stores.fixtures import s3, webdav

from .hiding import hidden

__all__ = ["dirac_server", "s3", "webdav"]


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
