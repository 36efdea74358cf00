"""A file in a catalog, as Snakemake asks for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.io import IOCacheStorageInterface, Mtime
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectWrite,
)

from . import queries

if TYPE_CHECKING:
    from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts

    from .on_worker import Facts
    from .provider import StorageProvider


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """One file.

    It has no ``checksum``: that of Snakemake has to be of an algorithm of ``hashlib``, and the
    catalogs have Adler-32. It cannot be touched, as the catalogs do not let anybody set a time.
    """

    provider: StorageProvider

    def __post_init__(self) -> None:
        """Register the name: questions come when all names of the workflow are known."""
        if self.provider.of_job is not None:
            self.keep_local = True  # the worker stores it when Snakemake has ended
        if not queries.has_wildcards(self.query):
            self.provider.register(self.query)

    def local_suffix(self) -> str:
        """Return the path of the local copy below the prefix."""
        return queries.local_suffix(self.query)

    def get_inventory_parent(self) -> Optional[str]:  # noqa: UP045
        """Return the folder; the cache of Snakemake knows no folder as complete."""
        return os.path.dirname(self.cache_key())  # noqa: PTH120 - keys are texts

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Tell the cache of Snakemake about all names that are registered."""
        if self.provider.of_job is not None or self.cache_key() in cache.exists_in_storage:
            return
        self._facts()
        for query, facts in self.provider.everything(self.query).items():
            key = str(self.provider.local_prefix / queries.local_suffix(query))
            cache.exists_in_storage[key] = facts is not None
            if facts is not None:
                cache.mtime[key] = Mtime(storage=facts.mtime)
                cache.size[key] = facts.size

    def cleanup(self) -> None:
        """Do nothing: there is nothing but the local copy."""

    def exists(self) -> bool:
        """Return whether the catalog has the file."""
        return self._facts() is not None

    def mtime(self) -> float:
        """Return when the file got this content, in seconds since the epoch."""
        return self._known().mtime

    def size(self) -> int:
        """Return the number of bytes."""
        return self._known().size

    def retrieve_object(self) -> None:
        """Download the file; the local copy gets the time that the catalog has."""
        facts = self._known()
        path = self.local_path()
        if self.provider.of_job is not None:
            return  # the worker has fetched it
        with self.provider.errors():
            self.provider.data(self.query).catalog.get(self.query, path)
        os.utime(path, (facts.mtime, facts.mtime))

    def store_object(self) -> None:
        """Upload the file in place of the one that has its name."""
        path = self.local_path()
        if path.is_dir():
            raise WorkflowError(
                f"{self.query} is a folder, and a file catalog has only files as outputs: name "
                "the files in it, or pack them into one."
            )
        if self.provider.of_job is not None:
            return
        data, begun = self.provider.data(self.query), time.time()
        with self.provider.errors():
            data.removals.withdraw([self.query])
            data.keep([self.query])
            facts = data.catalog.put(self.query, path.resolve())
            if self.provider.is_immutable(self.query):
                facts = data.remade.note(self.query, facts, begun)
        data.lookup.note(self.query, facts)
        self.provider.compare_clocks(facts)

    def remove(self) -> None:
        """Remove the file soon, together with others; it counts as absent from now on."""
        if self.provider.of_job is not None:
            return
        self.provider.data(self.query).removals.remove(self.query)

    def list_candidate_matches(self) -> Iterable[str]:
        """Return the files below the folder in which the matches of the pattern are."""
        folder = queries.folder_of(self.query)
        return self.provider.answer(
            f"files in {folder}", lambda: self.provider.data(folder).catalog.listing(folder)
        )

    def _facts(self) -> FileFacts | Facts | None:
        if self.provider.of_job is not None:
            return self.provider.of_job.facts(self.query, self.local_path())
        with self.provider.errors():
            return self.provider.facts(self.query)

    def _known(self) -> FileFacts | Facts:
        facts = self._facts()
        if facts is None:
            raise WorkflowError(f"{self.query} does not exist.")
        return facts
