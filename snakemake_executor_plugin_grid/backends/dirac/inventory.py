"""The files of a workflow on storage elements of DIRAC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...journal.catalog import Catalog
from ...journal.database import Database
from ...resilience.calls import TRANSFER_TIMEOUT
from ...stores.inventory import Found, Inventory, portions
from .client import Client
from .store import SCHEME, deliveries

_BACKEND = "dirac"


@contextlib.contextmanager
def open_inventory(
    catalog: Catalog, database: Database, folder: Path, python: Path
) -> Iterator[Inventory]:
    """Return what finds the files; its client starts with the first question."""
    client = Client(python, folder / "dirac.log")
    try:
        yield LfnInventory(client, catalog, database)
    finally:
        client.close()


class LfnInventory(Inventory):
    """Files on storage elements of DIRAC."""

    name = "storage elements"

    def __init__(self, client: Client, catalog: Catalog, database: Database) -> None:
        """Ask nothing yet.

        Args:
            client: DIRAC client.
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
            broken.update(self._client.call_now("remnants", some, self._catalog.elements(SCHEME)))
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
            # Whatever the catalog answers, only what is in the folders is removed.
            found += (
                lfn
                for lfn in self._client.call_now("listing", some)
                if lfn.rpartition("/")[0] in some and lfn.rpartition("/")[2] not in ("", ".", "..")
            )
        return found


def _url(lfn: str) -> str:
    return f"{SCHEME}{lfn}"


def _lfn(url: str) -> str:
    return url.removeprefix(SCHEME)
