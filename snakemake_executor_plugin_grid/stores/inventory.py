"""Finds and removes the files of a workflow in remote stores."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..journal.catalog import Catalog
from ..journal.database import Database
from ..model.errors import GridError
from . import REMOTE, RUCIO, open_rucio, open_transport
from .remote import DELIVERED, FOLDERS
from .transport import Transport

PER_CALL = 100
"""Number of files that one call removes."""
_THREADS = 8


@dataclass
class Found:
    """The files that were found.

    Attributes:
        there: Bytes of each file, by URL.
        broken: Storage elements that hold an incomplete upload, by URL.
        gone: URLs that were noted and have no file any more.
    """

    there: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


class Inventory(ABC):
    """The files of a workflow in stores of one kind.

    Attributes:
        name: In words, for messages.
    """

    name: str

    @abstractmethod
    def find(self) -> Found:
        """Ask the stores.

        Raises:
            GridError: A store does not answer.
        """

    @abstractmethod
    def remove(self, urls: Sequence[str]) -> dict[str, str]:
        """Remove files.

        Returns:
            The reason, for each file that is still there.

        Raises:
            GridError: The other files would fail for the same reason.
        """

    def purge(self, broken: dict[str, str]) -> dict[str, str]:
        """Remove incomplete uploads.

        Returns:
            The reason, for each file that is still there.
        """
        return {}

    def tidy(self, urls: Sequence[str]) -> None:
        """Remove the folders that the removed files leave empty, where the store can."""
        return


def rucio_inventories(
    catalog: Catalog,
    database: Database,
    folder: Path,
    python: Path | None = None,
    store_token: Path | None = None,
) -> list[Inventory]:
    """Return what finds the files of a workflow in Rucio: of stores, and outputs left there.

    Args:
        catalog: Of the workflow.
        database: Of the workflow.
        folder: This package's own, below the working directory.
        python: Has rucio-clients; None for that of the storage plugin's variable, or this one.
        store_token: Bearer token for WebDAV and XRootD; None for the usual places.

    Raises:
        GridError: A storage element cannot be used from here.
    """
    from .rucio import address
    from .rucio.inventory import NamesInventory

    noted = [one for one in catalog.locations() if one.startswith(f"{RUCIO}://")]
    found: list[Inventory] = []
    stores = [place for place in catalog.places() if place[0].startswith(f"{RUCIO}://")]
    names = _jobs(database)
    for url, element in stores:
        transport = open_rucio(address.known(url, element), folder, python, store_token)
        mine = [one for one in noted if one.startswith(_below(url))]
        transport.expect(one.removeprefix(f"{url}/") for one in mine)
        found.append(RemoteInventory(transport, mine, names))
    others = [one for one in noted if not any(one.startswith(_below(url)) for url, _ in stores)]
    if others:
        found.append(NamesInventory(python, folder / "rucio.log", others))
    return found


def _below(url: str) -> tuple[str, ...]:
    """Return what the URLs of a store's files begin with: outputs may lie beside them."""
    return tuple(f"{url}/{folder}/" for folder in FOLDERS)


def _jobs(database: Database) -> set[str]:
    return {str(name) for (name,) in database.query("SELECT name FROM jobs")}


def remote_inventories(
    catalog: Catalog, database: Database, store_token: Path | None = None
) -> list[Inventory]:
    """Return what finds the files of a workflow in remote stores, one for each store.

    Args:
        catalog: Of the workflow.
        database: Of the workflow.
        store_token: Bearer token for WebDAV and XRootD; None for the usual places.

    Raises:
        GridError: A store cannot be opened.
    """
    noted = catalog.locations()
    names = _jobs(database)
    return [
        RemoteInventory(
            open_transport(url, store_token),
            [one for one in noted if one.startswith(f"{url}/")],
            names,
        )
        for url in sorted(catalog.stores())
        if url.partition(":")[0] in REMOTE
    ]


class RemoteInventory(Inventory):
    """Files of a `RemoteStore`."""

    def __init__(self, transport: Transport, noted: Sequence[str], jobs: set[str]) -> None:
        """Ask nothing yet.

        Args:
            transport: Transport of the store.
            noted: URLs of files that were put there.
            jobs: Names of the workflow's jobs; other workflows may share the store.
        """
        self.name = transport.url
        self._transport = transport
        self._noted = noted
        self._jobs = jobs

    def find(self) -> Found:
        """Ask for each file that was noted, and list the folders of the jobs."""
        found = Found()
        names = {self._relative(url) for url in self._noted}
        with ThreadPoolExecutor(_THREADS) as pool:
            folders = [
                f"{DELIVERED}/{job}"
                for job in self._transport.listing(DELIVERED)
                if job in self._jobs
            ]
            for folder, leaves in zip(
                folders, pool.map(self._transport.listing, folders), strict=True
            ):
                # A server may say anything, but only what is in the folder is removed.
                names.update(f"{folder}/{leaf}" for leaf in leaves if _is_leaf(leaf))
            ordered = sorted(names)
            for name, size in zip(ordered, pool.map(self._transport.size, ordered), strict=True):
                url = f"{self.name}/{name}"
                if size is None:
                    found.gone.add(url)
                else:
                    found.there[url] = size
        return found

    def remove(self, urls: Sequence[str]) -> dict[str, str]:
        """Remove files."""
        why = self._transport.remove([self._relative(url) for url in urls])
        return {f"{self.name}/{name}": reason for name, reason in why.items()}

    def tidy(self, urls: Sequence[str]) -> None:
        """Remove the folders of these files and the ones above, the deepest first."""
        folders: set[str] = set()
        for url in urls:
            parts = self._relative(url).split("/")[:-1]
            folders.update("/".join(parts[:end]) for end in range(1, len(parts) + 1))
        with contextlib.suppress(GridError):
            for folder in sorted(folders, key=lambda folder: (-folder.count("/"), folder)):
                self._transport.tidy(folder)

    def _relative(self, url: str) -> str:
        return url.removeprefix(f"{self.name}/")


def _is_leaf(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..")


def portions(items: Sequence[str]) -> Iterator[list[str]]:
    """Yield lists of items, each short enough for one call."""
    for start in range(0, len(items), PER_CALL):
        yield list(items[start : start + PER_CALL])
