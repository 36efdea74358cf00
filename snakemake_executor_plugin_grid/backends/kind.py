"""What the package needs to know of a backend to offer it: one `BackendKind` in its folder."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..journal.catalog import Catalog
from ..journal.database import Database
from ..resilience.outages import Outages
from ..settings.options import ExecutorSettings
from ..stores import Means, Store, Stores, open_store
from ..stores.directory import DirectoryStore
from ..stores.inventory import Inventory
from .base import Backend
from .bundles.registry import BundleRegistry
from .diagnostics import Diagnostic, Told, server_diagnostic


@dataclass(frozen=True)
class Workspace:
    """Where a run, or a command, works.

    Attributes:
        workdir: Working directory of the workflow.
        folder: This package's own, below it.
        database: Of the workflow.
        catalog: Knows what is on storage elements.
        say: Shows a line to the user.
        bundles: Knows which jobs share a grid job.
        guest: Whether a run may be active beside: nothing that it needs is removed.
    """

    workdir: Path
    folder: Path
    database: Database
    catalog: Catalog
    say: Callable[[str], None]
    bundles: BundleRegistry
    guest: bool = False

    @property
    def spool(self) -> Path:
        """Folder of the blobs that travel in sandboxes; each run begins with an empty one."""
        return self.folder / "spool"

    def outages_of(self, settings: ExecutorSettings, backend: Backend) -> Outages:
        """Return what waits for the server of a backend."""
        limit = settings.outage_limit * 3600
        return Outages(backend.name, limit, backend.check_credentials, self.say)

    def open_store(
        self, settings: ExecutorSettings, outages: Outages, default: Path | None = None
    ) -> Store:
        """Return the store that ``--grid-store`` names.

        Args:
            settings: Options of the run.
            outages: Waits for a remote store.
            default: Folder of the store if the option is not given.

        Raises:
            PermanentError: The URL cannot serve as a store.
        """
        if settings.store is None and default is not None:
            return DirectoryStore(default)
        means = Means(
            self.folder / "store",
            self.catalog,
            outages,
            settings.store_token,
            settings.rucio_python,
        )
        return open_store(settings.store or "", self.workdir, means)


@dataclass(frozen=True)
class BackendSetup:
    """A backend and the rest that a run needs for it; no connection is made yet.

    Attributes:
        backend: Runs the jobs.
        stores: Through which their files travel.
        outages: Waits for the backend's server.
        own_diagnostics: Returns what ``snakemake-grid check`` tries, in this order, by the working
            directory of the workflow and an empty folder; None to try the server alone.
        try_store: Tries the stores with a small file; None for the usual way.
    """

    backend: Backend
    stores: Stores
    outages: Outages
    own_diagnostics: Callable[[Path, Path], Sequence[Diagnostic]] | None = None
    try_store: Callable[[Path], Told] | None = None

    def diagnostics(self, workdir: Path, scratch: Path) -> Sequence[Diagnostic]:
        """Return what ``snakemake-grid check`` tries, in this order.

        Args:
            workdir: Working directory of the workflow.
            scratch: An empty folder.
        """
        if self.own_diagnostics is None:
            return (server_diagnostic(self.backend),)
        return self.own_diagnostics(workdir, scratch)


class BackendKind(ABC):
    """A backend that can be chosen.

    Attributes:
        name: As in ``--grid-backend``.
        options: Options, by their names in the settings, that this backend has and not every other.
        without_effect: Options that this backend does not use, although it is no mistake to give
            them.
        store_schemes: Of URLs of stores that only this backend has.
        client: The client library in words, such as "the DIRAC client"; empty if it needs none.
            Then the option ``--grid-<name>-python`` chooses the Python that has it.
    """

    name: str
    options: Collection[str] = ()
    without_effect: Collection[str] = ()
    store_schemes: Collection[str] = ()
    client: str = ""

    def owns(self, option: str) -> bool:
        """Return whether an option is one of this backend, and not of every other."""
        return option in self.options or option.startswith(f"{self.name}_")

    def problems(self, settings: ExecutorSettings, workdir: Path) -> list[str]:
        """Check the options that only this backend knows, also if another one is chosen.

        Args:
            settings: As given.
            workdir: Working directory of the workflow.

        Returns:
            A sentence for each problem: it names the option, its value and what to do.
        """
        return []

    def why_alone(self, settings: ExecutorSettings) -> str:
        """Return a sentence if no other backend can serve the same run; otherwise nothing."""
        return ""

    @abstractmethod
    def make(self, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        """Make the backend and its stores; nothing outside is touched yet.

        Raises:
            GridError: They cannot be made: says why.
        """

    def why_unreachable(self, settings: ExecutorSettings, host: str) -> str:
        """Return why a command cannot ask for jobs of a run; empty if it can.

        Args:
            settings: Options of the run.
            host: On which the run was.
        """
        return ""

    @contextlib.contextmanager
    def open_inventory(
        self, catalog: Catalog, database: Database, folder: Path, python: Path
    ) -> Iterator[Inventory | None]:
        """Return what finds the files of a workflow in the backend's own stores, if it has any.

        Args:
            catalog: Of the workflow.
            database: Of the workflow.
            folder: This package's own, below the working directory.
            python: Has the client library.
        """
        yield None
