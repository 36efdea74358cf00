"""Fixtures of the tests on a PanDA server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeProject, Project, Site
from tests.servers.panda.client import Client
from tests.servers.panda.fixture import panda_server
from tests.servers.panda.model import FINAL_JOB
from tests.servers.panda.server import UNSET, PandaServer

from .seen import Seen, until

__all__ = ["panda_server"]

SITE = "SITE_A"
OTHER_SITE = "SITE_B"


def panda_site(server: PandaServer, store: str, *options: str) -> Site:
    """Return a PanDA server as a site for projects.

    Args:
        server: Runs.
        store: URL of a folder that jobs can see, or of another store.
        options: More of them.
    """
    given = (
        *("--grid-backend", "panda", "--grid-store", store, "--grid-site", SITE),
        *("--seconds-between-status-checks", "0"),
        *options,
    )
    return Site("panda", SITE, server.folder, given, server.environment())


@pytest.fixture
def site(
    panda_server: PandaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    yield panda_site(panda_server, f"file://{tmp_path / 'store'}")
    panda_server.start()
    panda_server.clear_faults()
    panda_server.write_token()
    end_all(panda_server, tmp_path / "cleaner")


def end_all(server: PandaServer, folder: Path) -> None:
    """Kill what a test has left: its jobs would keep slots from those of the next."""

    def left() -> list[dict[str, Any]]:
        return [job for job in server.jobs() if job["status"] not in FINAL_JOB]

    if left():
        folder.mkdir()
        client = Client(server.environment(), folder)
        for number in {job["task"] for job in left()}:
            client("killTask", number)
        client("killJobs", [job["number"] for job in left()])
        client.close()
        until(lambda: not left(), seconds=60)


@pytest.fixture
def project(make_project: MakeProject, panda_server: PandaServer) -> Iterator[Project]:
    """Return a project in an empty directory, which jobs cannot see."""
    made = make_project("project")
    with panda_server.hidden(made.folder):
        yield made


@pytest.fixture
def seen(panda_server: PandaServer) -> Seen:
    """Return what is new on the server since the test began."""
    return Seen(panda_server)


@pytest.fixture
def other_tool(site: Site, tmp_path: Path) -> Iterator[Client]:
    """Return a client of the same user, who uses something else beside Snakemake."""
    folder = tmp_path / "other_tool"
    folder.mkdir()
    client = Client(site.environment, folder)
    yield client
    client.close()
