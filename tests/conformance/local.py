"""The local backend: its server is a process of this machine, and it has no credentials."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from tests.conftest import Project, local_site
from tests.dirac_in_a_folder import DiracFolder
from tests.faults import local_sites, meddle
from tests.nodes import bare_node

from .backend import Backend, reading

# A call to a server that does not answer takes 30 seconds, as it may just be busy.
_IMPATIENT = """
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
LocalBackend._call.__kwdefaults__["wait"] = 4.0
"""


class Local(Backend):
    """The local backend."""

    name = "local"
    sites = ("local",)
    has_credentials = False
    sends_again = False
    kills = (
        "before Journal.submitting",
        "before site.submit",
        "after site.submit",
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
    risky = (
        *("after site.submit", "after Journal.submitted", "after outputs.install"),
        *Backend.risky,
    )

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(folder, request)
        site = local_site(folder / "site")
        self._node = bare_node(folder / "node")
        options = (
            *site.options,
            *("--grid-local-python", str(self._node / "python3")),
            *("--grid-local-cores", "4"),  # as some jobs of a test wait for others
        )
        self.site = replace(site, options=options)
        self.large = ("--grid-store", (folder / "store").as_uri())

    def grid_data(self, project: Project) -> tuple[str, tuple[str, ...]]:
        python = str(DiracFolder(self.folder / "dirac").python)
        project.environment[PYTHON] = python
        return "lfn:/vo/run", ("--storage-grid-storage-element", "SE-1")

    def prepare(self, project: Project) -> None:
        meddle(project, self.folder / "code", _IMPATIENT)
        project.environment["PATH"] = os.defpath  # which jobs have as well

    def hidden(self, folder: Path) -> nullcontext[bool]:
        return nullcontext(True)  # jobs of this backend never see it

    def states(self, project: Project) -> dict[str, str]:
        found: dict[str, str] = {}
        for file in self.site.folder.glob("*/site.sqlite"):
            with reading(file) as connection:
                found |= connection.execute("SELECT name, state FROM jobs").fetchall()
        return found

    def is_active(self, state: str) -> bool:
        return state in ("queued", "running")

    def descriptions(self, project: Project) -> str:
        files = self.site.folder.glob("*/jobs/*/job.json")
        return "".join(path.read_text() for path in files)

    @contextmanager
    def outage(self, project: Project) -> Iterator[None]:
        (server,) = local_sites(project)
        os.kill(server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server, signal.SIGCONT)
