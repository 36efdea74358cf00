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
from .file_catalog import FileFacts
from .transport import FileServer

T = TypeVar("T")

_SCHEMES = {"http": "dav", "https": "davs"}
_HTTP = {"dav": "http", "davs": "https"}
_PAUSES = (1.0,)
_GONE = (404, 410)
_COLLECTION = ".//{DAV:}resourcetype/{DAV:}collection"
_MULTI = 207
_PROPERTIES = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>'
)


class WebDavTransport(FileServer):
    """Files below a URL; each call reads token or proxy again, as they may be renewed."""

    def __init__(
        self, url: str, token_file: Path | None = None, *, credentials: bool = True
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: ``davs://…`` or ``https://…``; without TLS ``dav://…`` or ``http://…``, where
                tokens are sent to this machine alone.
            token_file: Holds the bearer token; by default it is where the worker looks for it.
            credentials: Whether to send token or proxy.
        """
        scheme, _, rest = url.partition(":")
        if credentials:
            scheme = _SCHEMES.get(scheme, scheme)
        self.url = f"{scheme}:{rest.rstrip('/')}"
        self._access = Access(credentials=credentials, token_file=token_file)

    def check(self) -> None:
        """Make the folder."""
        self._call(lambda: web.make_folder(self.url, self._access))

    def size(self, name: str) -> int | None:
        """Return the Content-Length of a HEAD request."""
        return self._call(lambda: web.size(self._at(name), self._access))

    def facts(self, name: str) -> FileFacts | None:
        """Return what the answer to a HEAD request tells."""
        found = self._call(lambda: web.facts(self._at(name), self._access))
        if found is None:
            return None
        return FileFacts(found.size, float(found.mtime), found.adler32)

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

    def entries(self, folder: str) -> dict[str, bool]:
        """Ask for the properties of what is in a folder (PROPFIND, Depth 1)."""
        headers = {"Depth": "1", "Content-Type": "application/xml"}
        url = f"{self._at(folder)}/"

        def ask() -> dict[str, bool]:
            body = Body.of(head=_PROPERTIES)
            answer = request("PROPFIND", url, self._access, headers=headers, body=body)
            if answer.status in _GONE:
                return {}
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
        source, target = self._at(name), self._at(other)
        self._call(lambda: web.make_folder(target.rpartition("/")[0], self._access))
        try:
            self._call(lambda: web.move(source, target, self._access, replace=True))
        except MissingError:
            raise
        except PermanentError:
            return False
        return True

    def source(self, name: str) -> str:
        """Return the URL of the file; the worker has its own credentials."""
        return self._at(name)

    def inbox(self, folder: str) -> str:
        """Return the URL of the folder."""
        return self._at(folder)

    def _delete(self, url: str) -> None:
        self._call(lambda: web.remove(url, self._access))

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


def _members(text: bytes, path: str, url: str) -> dict[str, bool]:
    """Return what an answer to PROPFIND (RFC 4918, 9.1) names, without the folder itself.

    Returns:
        Plain names, and whether each is a folder.

    Raises:
        PassingError: It is no such answer.
        TransferError: It is about another folder: a folder must not seem empty, and be removed.
    """
    try:
        # What a server sends is bounded in size, and expat bounds the growth of entities.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise PassingError(f"{shown(url)}: the listing is damaged: {error}") from error
    found = {
        _plain(urlsplit(one.findtext("{DAV:}href") or "").path): one.find(_COLLECTION) is not None
        for one in root.iter("{DAV:}response")
    }
    own = _plain(path)
    if own not in found:
        raise TransferError(
            f"{shown(url)}: the server calls this folder {min(found, default='nothing')!r}; name "
            "the server itself, not a proxy that changes paths"
        )
    return {
        posixpath.basename(one): is_folder
        for one, is_folder in found.items()
        if one != own and posixpath.dirname(one) == own
    }


def _plain(path: str) -> str:
    """Return a path without ``//`` and ``..``, as servers answer it."""
    return posixpath.normpath(f"/{unquote(path).lstrip('/')}")
