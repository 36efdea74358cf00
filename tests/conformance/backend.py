"""What the conformance set asks of a backend: where its jobs run, and what can go wrong there."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conftest import Project, Site
from tests.kills import RISKY


class Backend(ABC):
    """A backend, with a server that runs.

    Attributes:
        name: Of the backend, and of the marker that selects its tests.
        unset: Variables with which a client would talk to another server.
        sites: Where its jobs run, as they report it.
        large: Options with which files of 11 MiB can travel, if the site's do not do.
        has_credentials: Whether they can expire.
        sends_again: Whether a job that the infrastructure has failed is sent again.
        reports_one_by_one: Whether the jobs of a bundle report when they end, rather than all of
            them when the bundle has ended.
        is_example: Whether the docs show it, rather than the package having it.
        kills: Steps of a chain of kills: the controller is killed at each of them once.
        risky: Steps at which it is killed twice in a row.
        site: Where the jobs of the projects run.
    """

    name: ClassVar[str]
    unset: ClassVar[tuple[str, ...]] = ()
    sites: ClassVar[tuple[str, ...]]
    large: tuple[str, ...] = ()
    has_credentials: ClassVar[bool] = True
    sends_again: ClassVar[bool] = True
    reports_one_by_one: ClassVar[bool] = True
    is_example: ClassVar[bool] = False
    kills: ClassVar[tuple[str, ...]]
    risky: ClassVar[tuple[str, ...]] = RISKY
    site: Site

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        """Use a server.

        Args:
            folder: The test's own, which jobs can see.
            request: Has the fixture of the server.
        """
        self.folder = folder

    def prepare(self, project: Project) -> None:  # noqa: B027 - few need it
        """Change a project before its first run, for instance its environment."""

    @abstractmethod
    def hidden(self, folder: Path) -> AbstractContextManager[bool]:
        """Let jobs not see a folder of this machine, as worker nodes would not."""

    @abstractmethod
    def states(self, project: Project) -> dict[str, str]:
        """Return the state of each job of a project on the server, which has its own words."""

    @abstractmethod
    def is_active(self, state: str) -> bool:
        """Return whether a job in such a state runs, or may still run."""

    @abstractmethod
    def descriptions(self, project: Project) -> str:
        """Return all that the server has been told of the jobs of a project."""

    @abstractmethod
    def outage(self, project: Project) -> AbstractContextManager[None]:
        """Let the server not answer a project for a while; jobs that run go on."""

    def one_by_one(self) -> tuple[str, ...]:
        """Return options with which the jobs of a bundle report when they end."""
        return ()

    def failing_once(self) -> tuple[str, ...]:
        """Return options with which the infrastructure fails the first job that comes."""
        setup = f"! mkdir {self.folder}/tried 2>/dev/null"  # as when a software is missing
        return ("--grid-runtime", "setup", "--grid-runtime-setup", setup)

    def grid_data(self, project: Project) -> tuple[str, tuple[str, ...]]:
        """Return a folder of a file catalog that jobs reach, and the options for it."""
        pytest.skip(f"the nodes of {self.name} reach no catalog of the tests")

    def set_lifetime(self, project: Project, seconds: float) -> None:
        """Give a project credentials that expire after some seconds."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027
        """End what a test has left on the server."""

    def active(self, project: Project) -> list[str]:
        """Return the jobs of a project that run, or may still run."""
        states = self.states(project)
        return [name for name, state in states.items() if self.is_active(state)]


def names(project: Project) -> set[str]:
    """Return the names of all jobs and bundles that a project has submitted, from its journal."""
    journal = project.folder / ".snakemake" / "grid" / "grid.sqlite"
    statement = "SELECT name FROM jobs UNION SELECT bundle FROM bundle_jobs"
    with reading(journal) as connection:
        return {name for (name,) in connection.execute(statement)}


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that another process may be writing."""
    connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
    try:
        yield connection
    finally:
        connection.close()
