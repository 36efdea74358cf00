"""The file catalog of Rucio.

Times are those at which names were made: ``created_at`` stays when metadata, rules or replicas
change. Names are immutable: they are never given to other content. To remove a file is to end its
lifetime: it counts as absent at once, its name is free when the server's undertaker has run, and
its bytes go, and count no longer for the quota, when the reaper has run.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ...model.errors import MissingError, PermanentError
from ...resilience.calls import TRANSFER_TIMEOUT
from ..file_catalog import FileCatalog, FileFacts
from . import names as rucio_names
from .client import RucioClient
from .replies import TAKEN

T = TypeVar("T")

SCHEMES = ("root", "davs", "https", "file")
"""Of the URLs by which workers read files."""
WRITE_SCHEMES = ("root", "davs")
"""Of the URLs by which workers write files, the best first."""
_METADATA_CHUNK = 1000
_REPLICAS_CHUNK = 250
"""More at once make a busy server break off."""
_BLOCK = 1 << 20


class RucioCatalog(FileCatalog):
    """Rucio's catalog and its storage elements."""

    schemes = (rucio_names.SCHEME,)

    def __init__(
        self,
        client: RucioClient,
        *,
        rse: str = "",
        lifetime: float | None = None,
        site: str = "",
        schemes: Sequence[str] = SCHEMES,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Use a client; it is closed with the catalog.

        Args:
            client: Of the server.
            rse: Storage element for new files, or an expression of which one is taken; needed by
                ``put``, ``write_urls`` and ``register`` only.
            lifetime: Of new files in seconds; None: they stay until they are removed.
            site: Where files will be read, for the order of their replicas; empty for anywhere.
            schemes: Of the URLs that ``replicas`` returns.
            now: Clock.
        """
        self._client = client
        self._rse = rse
        self._lifetime = None if lifetime is None else max(1, round(lifetime))
        self._site = site
        self._schemes = tuple(schemes)
        self._now = now

    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        """Return what is known of each file; what has expired counts as absent.

        Raises:
            PermanentError: A name is none of Rucio's, or is a dataset's.
            GridError: Rucio does not answer.
        """
        found: dict[str, FileFacts | None] = dict.fromkeys(names)
        files = {rucio_names.parse(name): name for name in found}
        for row in self._rows(list(files)):
            name = files.get((row["scope"], row["name"]))
            if name is not None:
                found[name] = self._facts(name, row)
        return found

    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return the storage elements with a replica of each file, and its URL there.

        Those that cannot be read now, and those of which only a copy on tape is known, are left
        out.

        Raises:
            GridError: Rucio does not answer.
        """
        found: dict[str, Mapping[str, str]] = {name: {} for name in names}
        files = {rucio_names.parse(name): name for name in found}
        for chunk in _chunks(list(files), _REPLICAS_CHUNK):
            for scope, name, urls in self._client.call_now(
                "replicas", chunk, self._schemes, self._site
            ):
                if (scope, name) in files:
                    found[files[scope, name]] = dict(urls)
        return found

    def listing(self, folder: str) -> list[str]:
        """Return the names of the files of a scope, of a dataset, or below a name with a slash.

        Raises:
            GridError: Rucio does not answer.
        """
        scope, name = rucio_names.parse_folder(folder)
        name = name.rstrip("/")
        rows = self._rows([(scope, name)]) if name else []
        if rows and rows[0]["type"] != "FILE":
            files = [tuple(file) for file in self._client.call_now("contents", scope, name)]
        else:
            pattern = f"{name}/*" if name else "*"
            found = self._client.call_now("matching", scope, pattern)
            files = [(scope, one) for one in found]
        kept = self.facts([rucio_names.build(*file) for file in files])
        return sorted(name for name, facts in kept.items() if facts is not None)

    def get(self, name: str, path: Path) -> None:
        """Download a file, and check its size and checksum.

        Raises:
            MissingError: It does not exist.
            GridError: It cannot be had, or is damaged.
        """
        facts = self.facts([name])[name]
        if facts is None:
            raise MissingError(f"{name} does not exist in Rucio")
        scope, file = rucio_names.parse(name)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".rucio-") as folder:
            got = Path(
                self._client.call_now("download", scope, file, folder, limit=TRANSFER_TIMEOUT)
            )
            size, adler32 = checksum(got)
            if size != facts.size or (facts.adler32 and adler32 != facts.adler32):
                raise PermanentError(
                    f"{name} arrived damaged: {size} bytes with the checksum {adler32}, and Rucio "
                    f"has {facts.size} bytes with {facts.adler32 or 'none'}"
                )
            got.replace(path)

    def put(self, name: str, path: Path) -> FileFacts:
        """Upload and register a file, and see that it is there.

        Equal content under this name counts as uploaded; its lifetime begins again.

        Raises:
            PermanentError: The name is taken for other content, or Rucio does not take the file.
            GridError: It does not work now.
        """
        scope, file = rucio_names.parse(name)
        size, adler32 = checksum(path)
        row = self._client.call_now(
            *("upload", str(path.absolute()), scope, file, self._storage_element()),
            *(self._lifetime, size, adler32),
            limit=TRANSFER_TIMEOUT,
        )
        return FileFacts(row["size"], row["created"], row["adler32"])

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """End the lifetime of files; see the module for what that means.

        Returns:
            Why, for each file that stays.

        Raises:
            GridError: Rucio does not answer.
        """
        files = {rucio_names.parse(name): name for name in names}
        left: dict[str, str] = {}
        existing = [
            (row["scope"], row["name"])
            for row in self._rows(list(files))
            if not self._has_expired(row)
        ]
        for chunk in _chunks(existing, _METADATA_CHUNK):
            for did, reason in self._client.call_now("expire", chunk).items():
                scope, _, name = did.partition(":")
                left[files[scope, name]] = reason
        return left

    def close(self) -> None:
        """End the client process."""
        self._client.close()

    def write_urls(self, names: Collection[str]) -> dict[str, str]:
        """Return the URLs under which workers have to write new files before ``register``.

        Raises:
            PermanentError: The storage element cannot be written by a worker.
            GridError: Rucio does not answer.
        """
        files = {rucio_names.parse(name): name for name in names}
        urls: dict[str, str] = {}
        for chunk in _chunks(list(files), _REPLICAS_CHUNK):
            found = self._client.call_now(
                "write_urls", chunk, self._storage_element(), WRITE_SCHEMES
            )
            urls |= {files[scope, name]: found[f"{scope}:{name}"] for scope, name in chunk}
        return urls

    def register(self, facts: Mapping[str, FileFacts]) -> dict[str, str]:
        """Register files that workers have written under their ``write_urls``.

        Args:
            facts: Size and adler32 of each; files that are registered with these stay, and their
                lifetime begins again.

        Returns:
            Why, for each whose name is taken for other content.

        Raises:
            GridError: Rucio does not take them, or does not answer.
        """
        files = {rucio_names.parse(name): name for name in facts}
        refused: dict[str, str] = {}
        for chunk in _chunks(list(files), _REPLICAS_CHUNK):
            known = [(file, facts[files[file]]) for file in chunk]
            described = [(*file, its.size, its.adler32) for file, its in known]
            answer = self._client.call_now(
                "register", described, self._storage_element(), self._lifetime
            )
            for did, reason in answer.items():
                scope, _, name = did.partition(":")
                refused[files[scope, name]] = f"{reason}; {TAKEN}"
        return refused

    def _storage_element(self) -> str:
        if not self._rse:
            raise PermanentError(
                "new files in Rucio need a storage element: see --storage-grid-rucio-rse"
            )
        return self._rse

    def _rows(self, files: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for chunk in _chunks(files, _METADATA_CHUNK):
            rows += self._client.call_now("metadata", chunk)
        return rows

    def _facts(self, name: str, row: Mapping[str, Any]) -> FileFacts | None:
        if self._has_expired(row) or row["lost"]:
            return None
        if row["type"] != "FILE":
            raise PermanentError(
                f"{name} is a {row['type'].lower()} in Rucio, not a file: name its files"
            )
        return FileFacts(row["size"], row["created"], row["adler32"])

    def _has_expired(self, row: Mapping[str, Any]) -> bool:
        return row["expires"] is not None and bool(row["expires"] <= self._now())


def checksum(path: Path) -> tuple[int, str]:
    """Return the size of a file, and its adler32 as Rucio writes it."""
    size, value = 0, 1
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            value = zlib.adler32(block, value)
    return size, f"{value:08x}"


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
