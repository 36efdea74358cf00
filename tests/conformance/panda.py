"""PanDA: on the server in `tests.servers.panda`, through the real panda-client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.panda.conftest import SITE, end_all, panda_site
from tests.panda.seen import Seen
from tests.servers.panda.model import FINAL_JOB
from tests.servers.panda.server import UNSET, PandaServer

from .backend import Backend


class Panda(Backend):
    """PanDA, with a directory as the store."""

    name = "panda"
    unset = UNSET
    sites = (SITE, "SITE_B")
    kills = (
        "before Journal.submitting",
        "before client.upload",
        "after client.upload",
        "after sending submit",
        "after backend.find",
        "after Journal.adopted",
        "before backend.states",
        "after backend.retrieve",
        "after staging.install",
        "after Journal.ended",
        "before snakemake.postprocess",
        "after store.drop",
        "after client.submit",
    )
    risky = (
        "after client.upload",  # the sandbox is in the cache, and nobody has asked for a task
        "after sending submit",
        "after client.submit",  # the task is there, and the journal has no id of it
        *Backend.risky,
    )

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self._server: PandaServer = request.getfixturevalue("panda_server")
        self._seen = Seen(self._server)
        store = (folder / "store").as_uri()
        self.site = panda_site(self._server, store, "--grid-site", ",".join(self.sites))

    def hidden(self, folder: Path) -> AbstractContextManager[bool]:
        return self._server.hidden(folder)

    def states(self, project: Project) -> dict[str, str]:
        return {",".join(job["inputs"]): job["status"] for job in self._seen.jobs()}

    def is_active(self, state: str) -> bool:
        return state not in FINAL_JOB

    def descriptions(self, project: Project) -> str:
        return json.dumps([self._seen.tasks(), self._seen.jobs()])

    @contextmanager
    def outage(self, project: Project) -> Iterator[None]:
        self._server.kill()
        try:
            yield
        finally:
            self._server.start()

    def set_lifetime(self, project: Project, seconds: float) -> None:
        self._server.write_token(seconds=seconds)

    def close(self) -> None:
        self._server.start()
        self._server.clear_faults()
        self._server.write_token()
        end_all(self._server, self.folder / "cleaner")
