"""The backend that the docs show: its server is a directory, and it has no credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.conftest import Project, Site
from tests.directory_backend import install
from tests.faults import meddle
from tests.nodes import bare_node

from .backend import Backend

_ISOLATED = """
import directory_backend
hide = 'mount -t tmpfs none "$0" && exec "$@"'
command = [*directory_backend.COMMAND[:-1], {python!r}]
directory_backend.COMMAND = ["unshare", "--mount", "sh", "-c", hide, {folder!r}, *command]
"""


class Directory(Backend):
    """The queue is a link, so that it can be away while jobs run and the store is there."""

    name = "directory"
    sites = ("directory",)
    has_credentials = False
    is_example = True
    kills = (
        "before Journal.submitting",
        "before backend.submit",
        "after backend.submit",
        "after backend.find",
        "after Journal.adopted",
        "before backend.states",
        "after backend.retrieve",
        "after staging.install",
        "after Journal.ended",
        "before snakemake.postprocess",
        "after store.drop",
    )
    risky = ("after Journal.submitted", *Backend.risky)

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        self._queue, self._real = folder / "queue", folder / "real-queue"
        self._real.mkdir()
        self._queue.symlink_to(self._real)
        paths = [install(folder / "installed"), os.environ.get("PYTHONPATH", "")]
        environment = {
            "GRID_QUEUE": str(self._queue),
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        }
        options = ("--grid-backend", self.name, "--grid-store", (folder / "store").as_uri())
        self.site = Site(self.name, self.name, self._real, options, environment)

    def prepare(self, project: Project) -> None:
        python = bare_node(self.folder / "node") / "python3"
        code = _ISOLATED.format(folder=str(project.folder), python=str(python))
        meddle(project, self.folder / "code", code)
        project.environment["PATH"] = os.defpath  # which jobs have as well

    def hidden(self, folder: Path) -> nullcontext[bool]:
        return nullcontext(True)  # see prepare()

    def states(self, project: Project) -> dict[str, str]:
        found = {}
        for job in self._real.glob("[!.]*/job.json"):
            ended = (job.with_name(leaf).exists() for leaf in ("cancelled", "report.json"))
            found[job.parent.name] = "ended" if any(ended) else "active"
        return found

    def is_active(self, state: str) -> bool:
        return state == "active"

    def descriptions(self, project: Project) -> str:
        return "".join(path.read_text() for path in self._real.glob("*/job.json"))

    @contextmanager
    def outage(self, project: Project) -> Iterator[None]:
        self._queue.unlink()
        try:
            yield
        finally:
            self._queue.symlink_to(self._real)
