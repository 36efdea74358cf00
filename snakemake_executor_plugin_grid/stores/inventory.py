"""What a workflow holds in remote stores: found by each kind of store, and removed."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..backends.dirac.client import Client
from ..backends.dirac.store import SCHEME, deliveries
from ..cli.dirac import open_client
from ..journal.catalog import Catalog
from ..journal.database import Database
from ..model.errors import GridError
from ..resilience.calls import TRANSFER_TIMEOUT
from . import REMOTE, open_transport
from .remote import DELIVERED
from .transport import Transport

PER_CALL = 100
"""How many files are removed in one call."""
_BACKEND = "dirac"  # the one that uses storage elements
_THREADS = 8


@dataclass
class Found:
    """What there is.

    Attributes:
        there: Bytes of each file, by URL.
        broken: Where uploads that broke off have left something, by URL.
        gone: URLs that were noted, and at which there is nothing any more.
    """

    there: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


class Holdings(ABC):
    """The files of a workflow in stores of one kind.

    Attributes:
        name: In words, for messages.
    """

    name: str

    @abstractmethod
    def find(self) -> Found:
        """Ask what is there.

        Raises:
            GridError: That cannot be told.
        """

    @abstractmethod
    def remove(self, urls: Sequence[str]) -> dict[str, str]:
        """Remove files.

        Returns:
            Why, for each that is still there.

        Raises:
            GridError: The others would fail alike.
        """

    def purge(self, broken: dict[str, str]) -> dict[str, str]:
        """Remove what uploads that broke off have left.

        Returns:
            Why, for each that is still there.
        """
        return {}

    def tidy(self, urls: Sequence[str]) -> None:
        """Remove the folders that removed files leave empty, as far as that can be done."""
        return


@contextlib.contextmanager
def all_holdings(
    catalog: Catalog,
    database: Database,
    folder: Path,
    dirac_python: Path,
    store_token: Path | None = None,
) -> Iterator[list[Holdings]]:
    """Return what knows the files of a workflow, one for each store.

    Args:
        catalog: Of the workflow.
        database: Of the workflow.
        folder: Of this package below the working directory.
        dirac_python: Has DIRAC; it is not started unless needed.
        store_token: Bearer token for WebDAV and XRootD; None for the usual places.

    Raises:
        GridError: A store cannot be opened.
    """
    noted, stores = catalog.locations(), catalog.stores()
    with contextlib.ExitStack() as stack:
        found: list[Holdings] = []
        if any(url.startswith(SCHEME) for url in (*noted, *stores)):
            client = stack.enter_context(open_client(dirac_python, folder))
            found.append(LfnHoldings(client, catalog, database))
        names = {str(name) for (name,) in database.query("SELECT name FROM jobs")}
        found += [
            RemoteHoldings(
                open_transport(url, store_token),
                [one for one in noted if one.startswith(f"{url}/")],
                names,
            )
            for url in sorted(stores)
            if url.partition(":")[0] in REMOTE
        ]
        yield found


class LfnHoldings(Holdings):
    """Files on storage elements of DIRAC."""

    name = "storage elements"

    def __init__(self, client: Client, catalog: Catalog, database: Database) -> None:
        """Use a client.

        Args:
            client: Of DIRAC.
            catalog: Knows what was stored, and where.
            database: Knows the jobs.
        """
        self._client = client
        self._catalog = catalog
        self._database = database

    def find(self) -> Found:
        """Ask the file catalog, and the storage elements for what it does not know."""
        noted = [_lfn(url) for url in self._catalog.locations() if url.startswith(SCHEME)]
        lfns = list(dict.fromkeys([*noted, *self._delivered()]))
        sizes: dict[str, int | None] = {}
        for some in portions(lfns):
            sizes.update(self._client.call_now("sizes", some))
        there = {lfn: size for lfn, size in sizes.items() if size is not None}
        unknown = sorted(sizes.keys() - there.keys())
        broken: dict[str, str] = {}
        for some in portions(unknown):
            broken.update(self._client.call_now("remnants", some, self._catalog.elements()))
        return Found(
            {_url(lfn): size for lfn, size in there.items()},
            {_url(lfn): element for lfn, element in broken.items()},
            {_url(lfn) for lfn in unknown if lfn not in broken},
        )

    def remove(self, urls: Sequence[str]) -> dict[str, str]:
        """Remove files in one call."""
        lfns = [_lfn(url) for url in urls]
        why = self._client.call_now("remove", lfns, limit=TRANSFER_TIMEOUT)
        return {_url(lfn): reason for lfn, reason in why.items()}

    def purge(self, broken: dict[str, str]) -> dict[str, str]:
        """Remove it at each storage element."""
        failed: dict[str, str] = {}
        for element in sorted(set(broken.values())):
            for some in portions([_lfn(url) for url, where in broken.items() if where == element]):
                why = self._client.call_now("purge", some, element)
                failed.update({_url(lfn): reason for lfn, reason in why.items()})
        return failed

    def _delivered(self) -> list[str]:
        """Return what jobs have left in their folders: nobody may have fetched it."""
        rows = self._database.query(
            "SELECT name FROM jobs WHERE backend=? ORDER BY name", (_BACKEND,)
        )
        stores = [url for url in self._catalog.stores() if url.startswith(SCHEME)]
        folders = [f"{deliveries(store)}/{name}" for store in stores for (name,) in rows]
        found: list[str] = []
        for some in portions(folders):
            found += self._client.call_now("listing", some)
        return found


class RemoteHoldings(Holdings):
    """Files of a `RemoteStore`."""

    def __init__(self, transport: Transport, noted: Sequence[str], jobs: set[str]) -> None:
        """Use a transport.

        Args:
            transport: Of the store.
            noted: URLs of what was put there.
            jobs: Names of the workflow's jobs; other workflows may share the store.
        """
        self.name = transport.url
        self._transport = transport
        self._noted = noted
        self._jobs = jobs

    def find(self) -> Found:
        """Ask for each file that was noted, and for what is in the folders of the jobs."""
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
    """Return items in lists that are no longer than a call should be."""
    for start in range(0, len(items), PER_CALL):
        yield list(items[start : start + PER_CALL])


def _url(lfn: str) -> str:
    return f"{SCHEME}{lfn}"


def _lfn(url: str) -> str:
    return url.removeprefix(SCHEME)
