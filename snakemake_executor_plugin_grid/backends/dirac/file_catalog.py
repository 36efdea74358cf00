"""The file catalog of DIRAC: names such as ``lfn:/vo/user/u/user/file``."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ...console.format import clause
from ...model.errors import GridError, MissingError, PermanentError
from ...resilience.calls import CALL_TIMEOUT, TRANSFER_TIMEOUT
from ...stores.file_catalog import FileCatalog, FileFacts
from .client import Client

SCHEME = "lfn:"
_PER_CALL = 1000
_PER_REMOVAL = 100
"""Each takes a fraction of a second, as replicas are removed one by one."""

_DAMAGED = "downloaded = "
"""In what DIRAC says of a file whose size or checksum is not that in the catalog."""

T = TypeVar("T")


class DiracCatalog(FileCatalog):
    """DIRAC's file catalog and storage elements, through the client in a process of its own.

    Attributes:
        client: The client, which the executor may use as well.
    """

    schemes = (SCHEME.rstrip(":"),)

    def __init__(self, client: Client, element: str, close: Callable[[], None] | None = None):
        """Ask nothing yet.

        Args:
            client: DIRAC client.
            element: Name of the storage element for new files; may be empty if there are none.
            close: Called when the catalog is no longer needed, instead of the client's ``close``.
        """
        self.client = client
        self._element = element
        self._close = close or client.close

    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        """Return what is known of each file: one call for a thousand."""
        found: dict[str, FileFacts | None] = {}
        for some in _portions(names, _PER_CALL):
            reply = self.client.call_now("look_up_files", [_lfn(name) for name in some])
            known = {f"{SCHEME}{lfn}": _facts(facts) for lfn, facts in reply.items() if facts}
            found.update({name: known.get(name) for name in some})
        return found

    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return storage elements and URLs: one call for a thousand files."""
        found: dict[str, Mapping[str, str]] = {}
        for some in _portions(names, _PER_CALL):
            reply = self.client.call_now("find_replicas", [_lfn(name) for name in some])
            found.update({name: reply.get(_lfn(name), {}) for name in some})
        return found

    def listing(self, folder: str) -> list[str]:
        """Return the names of the files in a folder and below."""
        reply = self.client.call_now("list_folder", _lfn(folder).rstrip("/"))
        return [f"{SCHEME}{lfn}" for lfn in reply]

    def find(self, folder: str, metadata: Mapping[str, Any]) -> list[str]:
        """Return the names of the files below a folder that have this metadata.

        Args:
            folder: Such as ``lfn:/vo/prod``.
            metadata: As DIRAC's ``findFilesByMetadata`` takes it, such as ``{"run": {">": 300}}``.

        Raises:
            GridError: The catalog does not answer.
        """
        reply = self.client.call_now("find_files", dict(metadata), _lfn(folder).rstrip("/") or "/")
        return [f"{SCHEME}{lfn}" for lfn in reply]

    def get(self, name: str, path: Path) -> None:
        """Download a file beside its place, and move it there; DIRAC checks size and checksum."""
        folder = path.parent / f".{secrets.token_hex(8)}.part"
        folder.mkdir()
        try:
            part = folder / name.rpartition("/")[2]  # as DIRAC names it
            try:
                self.client.call_now("get", _lfn(name), str(folder), limit=TRANSFER_TIMEOUT)
            except GridError as error:
                if _DAMAGED in str(error):  # on all storage elements that have it
                    raise PermanentError(f"{name} is damaged: {clause(error)}") from error
                if not self._is_empty(name):
                    raise
                part.touch()
            part.replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _is_empty(self, name: str) -> bool:
        """Return whether a file has no bytes: then no storage element has anything of it."""
        facts = self.facts([name])[name]
        if facts is None:
            raise MissingError(f"{name}: there is no such file in the file catalog of DIRAC")
        return facts.size == 0

    def put(self, name: str, path: Path) -> FileFacts:
        """Upload a file in place of the old one, and ask the catalog whether it is whole there."""
        if not self._element:
            raise PermanentError(
                f"{name} cannot be stored without a storage element: give one by "
                "--storage-grid-storage-element or --grid-dirac-storage-element"
            )
        if path.stat().st_size == 0:
            raise PermanentError(
                f"{name}: is empty, and DIRAC takes no empty files; write something into it, or "
                "keep it out of the storage by local(…)"
            )
        arguments = (_lfn(name), str(path), self._element)
        reply = self.client.call_now("store_file", *arguments, limit=TRANSFER_TIMEOUT)
        return _facts(reply)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files in bulk, and replicas of which the catalog does not know."""
        elements = [self._element] if self._element else []
        why: dict[str, str] = {}
        for some in _portions(names, _PER_REMOVAL):
            limit = max(CALL_TIMEOUT, 5.0 * len(some))
            reply = self.client.call_now(
                "remove_files", [_lfn(n) for n in some], elements, limit=limit
            )
            why.update({f"{SCHEME}{lfn}": str(reason) for lfn, reason in reply.items()})
        return why

    def close(self) -> None:
        """End the client."""
        self._close()


def _facts(reply: Sequence[Any]) -> FileFacts:
    size, mtime, adler32 = reply
    return FileFacts(int(size), float(mtime), str(adler32))


def _lfn(name: str) -> str:
    return name.removeprefix(SCHEME)


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of some items each."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
