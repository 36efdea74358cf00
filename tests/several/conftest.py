"""Fixtures of the tests with several backends in one run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.panda.conftest import end_all
from tests.servers.dirac.fixture import dirac_server
from tests.servers.panda.fixture import panda_server
from tests.servers.panda.server import UNSET, PandaServer

__all__ = ["dirac_server", "panda_server"]


def store_of(folder: Path) -> tuple[str, str]:
    """Return the option for a store that all backends reach."""
    return ("--grid-store", (folder / "store").as_uri())


@pytest.fixture
def site(
    panda_server: PandaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Return the local backend and a PanDA server."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    options = (
        *("--grid-backend", "local,panda", *store_of(tmp_path)),
        *("--grid-local-isolation", "require", "--grid-local-dir", str(tmp_path / "site")),
        *("--seconds-between-status-checks", "0"),
    )
    yield Site("panda", "SITE_A", panda_server.folder, options, panda_server.environment())
    panda_server.start()
    panda_server.clear_faults()
    end_all(panda_server, tmp_path / "cleaner")


@pytest.fixture
def project(make_project: MakeProject, panda_server: PandaServer) -> Iterator[Project]:
    """Return a project in an empty directory, which jobs cannot see."""
    made = make_project("project")
    with panda_server.hidden(made.folder):
        yield made
        made.end()


def jobs(project: Project) -> list[tuple[str, str, str]]:
    """Return rule, backend and phase of each submission, by rule."""
    path = project.folder / ".snakemake" / "grid" / "grid.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT rule, backend, phase FROM jobs ORDER BY rule, sent")
        return [(str(rule), str(backend), str(phase)) for rule, backend, phase in rows]
