"""DIRAC: on a real server, through the real client."""

from __future__ import annotations

import base64
import secrets
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.dirac.conftest import dirac_site
from tests.dirac.faults import intercepted
from tests.dirac.hiding import hidden
from tests.servers.dirac.server import UNSET, DiracServer
from tests.servers.dirac.settings import WORKING_SITES

from .backend import Backend, names

_FINAL = ("Done", "Failed", "Killed", "Deleted")
_SERVICES = ("JobManager", "JobMonitoring")
"""Whom a run asks while its jobs run."""


class Dirac(Backend):
    """DIRAC, with its sandboxes."""

    name = "dirac"
    reports_one_by_one = False  # in its sandboxes
    unset = UNSET
    sites = WORKING_SITES
    large = ("--grid-dirac-storage-element", "SE-1")
    kills = (
        "before Journal.submitting",
        "before client.create",
        "after sending create",
        "after backend.adopt",
        "after Journal.adopted",
        "before backend.states",
        "after backend.retrieve",
        "after staging.install",
        "after Journal.ended",
        "before snakemake.postprocess",
        "after store.drop",
        "after client.create",
        "after client.confirm",
    )
    risky = (
        "after sending create",
        "after client.create",  # jobs are there, and wait for being confirmed
        "after sending confirm",
        *Backend.risky,
    )

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self._server: DiracServer = request.getfixturevalue("dirac_server")
        self.site = dirac_site(self._server, *WORKING_SITES)
        self._open = ExitStack()

    def one_by_one(self) -> tuple[str, ...]:
        store = self.folder / "store"
        store.mkdir()
        return ("--grid-store", store.as_uri())

    def prepare(self, project: Project) -> None:
        # Others use the server: an outage is one of the connections of this project alone.
        self._connections = self._open.enter_context(intercepted(project, self._server, *_SERVICES))

    def hidden(self, folder: Path) -> AbstractContextManager[bool]:
        return hidden(folder, self._server)

    def grid_data(self, project: Project) -> tuple[str, tuple[str, ...]]:
        folder = f"lfn:/testvo/user/c/ciuser/conformance-{secrets.token_hex(5)}"
        return folder, ("--storage-grid-storage-element", "SE-1")

    def states(self, project: Project) -> dict[str, str]:
        return {name: state for name, state, _ in self._rows(project)}

    def is_active(self, state: str) -> bool:
        return state not in _FINAL

    def descriptions(self, project: Project) -> str:
        numbers = ", ".join(number for _, _, number in self._rows(project))
        sql = f"SELECT JDL, OriginalJDL FROM JobJDLs WHERE JobID IN ({numbers})"  # noqa: S608
        packed = [cell for row in self._server.query(sql) for cell in row]
        return "".join(zlib.decompress(base64.b64decode(cell)).decode() for cell in packed)

    @contextmanager
    def outage(self, project: Project) -> Iterator[None]:
        for connection in self._connections:
            connection.is_cut = True
        try:
            yield
        finally:
            for connection in self._connections:
                connection.is_cut = False

    def set_lifetime(self, project: Project, seconds: float) -> None:
        proxy = self.folder / "proxy"
        self._server.make_proxy(hours=0, seconds=seconds, path=proxy)
        project.environment["X509_USER_PROXY"] = str(proxy)

    def close(self) -> None:
        self._open.close()

    def _rows(self, project: Project) -> list[tuple[str, ...]]:
        wanted = ", ".join(f"'{name}'" for name in names(project))
        return self._server.query(
            f"SELECT JobName, Status, JobID FROM Jobs WHERE JobName IN ({wanted})"  # noqa: S608
        )
