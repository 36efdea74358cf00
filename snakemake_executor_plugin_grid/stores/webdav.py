"""WebDAV, ``davs://host/path``, as dCache, EOS, XRootD, StoRM, nginx and Apache serve it.

The functions are the worker's, as PUT has to follow redirects to where the disk is, which the
usual WebDAV clients for Python do not do.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path, PosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from ..console.progress import NOTHING, Transfer, size_of
from ..model.errors import CredentialsError, GridError, MissingError, PermanentError, TransientError
from ..worker.transfer import http as web
from ..worker.transfer.connection import Access, Body, failure, request
from ..worker.transfer.errors import (
    AbsentError,
    PassingError,
    RefusedError,
    TransferError,
    shown,
)
from ..worker.transfer.retry import retry
from .transport import Transport

T = TypeVar("T")

_SCHEMES = {"http": "dav", "https": "davs"}
_HTTP = {"dav": "http", "davs": "https"}
_PAUSES = (1.0,)
_GONE = (404, 410)
_MULTI = 207
_PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'
)


class WebDavTransport(Transport):
    """Files below a URL; each call reads token or proxy again, as they may be renewed."""

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        """Connect to nothing yet.

        Args:
            url: ``davs://…`` or ``https://…``; without TLS ``dav://…`` or ``http://…``, where
                tokens are sent to this machine alone.
            token_file: Holds the bearer token; by default it is where the worker looks for it.
        """
        scheme, _, rest = url.partition(":")
        self.url = f"{_SCHEMES.get(scheme, scheme)}:{rest.rstrip('/')}"
        self._access = Access(credentials=True, token_file=token_file)

    def check(self) -> None:
        """Make the folder."""
        self._call(lambda: web.make_folder(self.url, self._access))

    def size(self, name: str) -> int | None:
        """Return the Content-Length of a HEAD request."""
        return self._call(lambda: web.size(self._at(name), self._access))

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """PUT a file."""
        counted = _CountedPath(path)
        counted.transfer = transfer
        self._call(lambda: web.upload(counted, self._at(name), self._access))

    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        """GET a file."""
        path.unlink(missing_ok=True)
        transfer.watch(size_of(path))
        self._call(lambda: web.download(self._at(name), path, self._access, most))

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """DELETE files, one by one.

        Raises:
            GridError: The server does not answer, or takes no credentials.
        """
        failed = {}
        for name in names:
            try:
                self._delete(self._at(name))
            except PermanentError as error:
                failed[name] = str(error)
        return failed

    def listing(self, folder: str) -> list[str]:
        """Ask for the properties of what is in a folder (PROPFIND, Depth 1)."""
        headers = {"Depth": "1", "Content-Type": "application/xml"}
        url = f"{self._at(folder)}/"

        def ask() -> list[str]:
            body = Body.of(head=_PROPERTIES)
            answer = request("PROPFIND", url, self._access, headers=headers, body=body)
            if answer.status in _GONE:
                return []
            if answer.status != _MULTI:
                raise failure(answer, self._access)
            return _members(answer.text, urlsplit(answer.url).path, url)

        return self._call(ask)

    def tidy(self, folder: str) -> None:
        """DELETE a folder that is empty: a server would delete others with what is in them."""
        if not self.listing(folder):
            self._delete(f"{self._at(folder)}/")

    def move(self, name: str, other: str) -> bool:
        """MOVE a file (RFC 4918, 9.9)."""
        target = self._at(other)
        scheme, _, rest = target.partition(":")
        headers = {"Destination": f"{_HTTP.get(scheme, scheme)}:{rest}", "Overwrite": "T"}

        def ask() -> bool:
            answer = request("MOVE", self._at(name), self._access, headers=headers)
            if answer.status in _GONE:
                raise failure(answer, self._access)
            return answer.status in (201, 204)

        self._call(lambda: web.make_folder(target.rpartition("/")[0], self._access))
        return self._call(ask)

    def source(self, name: str) -> str:
        """Return the URL of the file; the worker has its own credentials."""
        return self._at(name)

    def inbox(self, folder: str) -> str:
        """Return the URL of the folder."""
        return self._at(folder)

    def _delete(self, url: str) -> None:
        def ask() -> None:
            answer = request("DELETE", url, self._access)
            if answer.status not in (200, 202, 204, *_GONE):
                raise failure(answer, self._access, "removal")

        self._call(ask)

    def _at(self, name: str) -> str:
        return f"{self.url}/{quote(name)}"

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return retry(call, _PAUSES, PassingError)
        except TransferError as error:
            raise _translated(error) from error


class _CountedPath(PosixPath):
    """A file that reports how much was read: the worker's functions know no `Transfer`."""

    transfer: Transfer

    def open(self, *_: Any, **__: Any) -> Any:
        """Open it for reading; it may be read again, where a folder had to be made."""
        return _CountedFile(self, self.transfer)


class _CountedFile(io.FileIO):
    def __init__(self, path: Path, transfer: Transfer) -> None:
        super().__init__(path)
        self._transfer = transfer

    def read(self, size: int | None = -1, /) -> bytes:
        self._transfer.reach(self.tell())  # what was read before has been sent by now
        return super().read(-1 if size is None else size) or b""


def _translated(error: TransferError) -> GridError:
    kinds: dict[type[TransferError], type[GridError]] = {
        PassingError: TransientError,
        RefusedError: CredentialsError,
        AbsentError: MissingError,
    }
    return kinds.get(type(error), PermanentError)(str(error))


def _members(text: bytes, path: str, url: str) -> list[str]:
    """Return the plain names in an answer to PROPFIND (RFC 4918, 9.1), without the folder's own.

    Raises:
        PassingError: It is no such answer.
        TransferError: It is about another folder: a folder must not seem empty, and be removed.
    """
    try:
        # What a server sends is bounded in size, and expat bounds the growth of entities.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise PassingError(f"{shown(url)}: the listing is damaged: {error}") from error
    found = {_plain(urlsplit(href.text or "").path) for href in root.iter("{DAV:}href")}
    own = _plain(path)
    if own not in found:
        raise TransferError(
            f"{shown(url)}: the server calls this folder {min(found, default='nothing')!r}; name "
            "the server itself by --grid-store, not a proxy that changes paths"
        )
    return sorted(posixpath.basename(one) for one in found if posixpath.dirname(one) == own)


def _plain(path: str) -> str:
    """Return a path without ``//`` and ``..``, as servers answer it."""
    return posixpath.normpath(f"/{unquote(path).lstrip('/')}")
