"""Files on storage servers that no catalog knows: their names are their URLs.

There is no question about many files at once in WebDAV and XRootD, so a few are asked at a time.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from ..model.errors import GridError, MissingError, PermanentError
from ..worker.grid_files.checksum import adler32, same
from ..worker.grid_files.records import PART
from . import XROOTD, open_transport
from .file_catalog import FileCatalog, FileFacts
from .transport import FileServer
from .webdav import WebDavTransport

T = TypeVar("T")
R = TypeVar("R")

READ_ONLY = ("https", "http")
"""Schemes of servers to which no credentials are sent, as anybody may read their files."""
SCHEMES = ("davs", "dav", *READ_ONLY, *XROOTD)
_AT_A_TIME = 8
"""Connections."""
_PARTS = re.compile(re.escape(PART).replace(r"\{\}", "[0-9A-Fa-f-]+"))
"""Names of files that are being uploaded."""


class UrlCatalog(FileCatalog):
    """The servers in the place of a catalog."""

    schemes = SCHEMES
    width = _AT_A_TIME

    def __init__(self, token_file: Path | None, log: Path) -> None:
        """Connect to nothing yet.

        Args:
            token_file: Holds the bearer token; None for the usual places.
            log: File for the output of XRootD's library.
        """
        self._token_file = token_file
        self._log = log
        self._lock = threading.Lock()
        self._servers: dict[str, FileServer] = {}
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="urls")

    def facts(self, names: Collection[str]) -> dict[str, FileFacts | None]:
        """Ask for each file."""

        def ask(name: str) -> FileFacts | None:
            server, path = self._at(name)
            return server.facts(path)

        return dict(zip(names, self._each(ask, names), strict=True))

    def replicas(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return each file's own URL, without a question whether it exists."""
        return {name: {urlsplit(name).hostname or "": name} for name in names}

    def listing(self, folder: str) -> list[str]:
        """List a folder, and those below it; files that are being uploaded are left out."""
        server, path = self._at(folder)
        base = _base(folder)
        found, folders = [], [path.rstrip("/")]
        while folders:
            below = []
            for parent, entries in zip(folders, self._each(server.entries, folders), strict=True):
                for name, is_folder in entries.items():
                    whole = f"{parent}/{name}" if parent else name
                    if is_folder:
                        below.append(whole)
                    elif not _PARTS.fullmatch(name):
                        found.append(base + _written(whole, base))
            folders = below
        return sorted(found)

    def get(self, name: str, path: Path) -> None:
        """Download a file, and check what the server knows of it."""
        server, remote = self._at(name)
        facts = server.facts(remote)
        if facts is None:
            raise MissingError(f"{name} does not exist")
        part = path.with_name(PART.format(secrets.token_hex(16)))
        try:
            server.download(remote, part)
            size, checksum = part.stat().st_size, adler32(part)
            if size != facts.size or (facts.adler32 and not same(checksum, facts.adler32)):
                raise PermanentError(
                    f"{name} arrived damaged: {size} bytes with the Adler-32 {checksum}, and the "
                    f"server has {facts.size} bytes with {facts.adler32 or 'none'}"
                )
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def put(self, name: str, path: Path) -> FileFacts:
        """Upload a file under another name, and rename it when it is whole."""
        if is_read_only(name):
            raise PermanentError(f"{name}: can only be read; outputs need davs:// or root://")
        server, remote = self._at(name)
        size, checksum = path.stat().st_size, adler32(path)
        folder, slash, _ = remote.rpartition("/")
        part = folder + slash + PART.format(secrets.token_hex(16))
        try:
            server.upload(path, part)
            _check(name, server.facts(part), size, checksum)
            if not server.move(part, remote):
                raise PermanentError(f"{name}: the server does not rename files")
        except BaseException:
            with contextlib.suppress(GridError):
                server.remove([part])
            raise
        return _check(name, server.facts(remote), size, checksum)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files, a few at a time."""
        by_server: dict[str, list[str]] = defaultdict(list)
        for name in names:
            by_server[_base(name)].append(name)
        shares = [some[n::_AT_A_TIME] for some in by_server.values() for n in range(_AT_A_TIME)]

        def remove(share: list[str]) -> dict[str, str]:
            by_path = {self._at(name)[1]: name for name in share}
            failed = self._at(share[0])[0].remove(list(by_path))
            return {by_path[path]: why for path, why in failed.items()}

        left: dict[str, str] = {}
        for failed in self._each(remove, filter(None, shares)):
            left |= failed
        return left

    def close(self) -> None:
        """End the clients."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for server in self._servers.values():
            server.close()

    def _each(self, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Call a function for each item, some at a time; the first error ends it."""
        wanted = list(items)
        try:
            futures = [self._pool.submit(call, item) for item in wanted]
        except RuntimeError:  # Python is ending, and files are still to be removed
            return [call(item) for item in wanted]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def _at(self, name: str) -> tuple[FileServer, str]:
        """Return the server of a file, and its path there."""
        base = _base(name)
        path = name[len(base) :].lstrip("/")
        with self._lock:
            if base not in self._servers:
                self._servers[base] = self._open(base)
            return self._servers[base], path if _is_plain(base) else unquote(path)

    def _open(self, base: str) -> FileServer:
        if is_read_only(base):
            return WebDavTransport(base, credentials=False)
        server = open_transport(base, self._token_file, self._log, "")
        if not isinstance(server, FileServer):
            raise PermanentError(f"{base}: is no server with files and folders")
        return server


def is_read_only(name: str) -> bool:
    """Return whether files of such names can be read, and not written."""
    return urlsplit(name).scheme in READ_ONLY


def _base(name: str) -> str:
    """Return the beginning of a URL, up to the first character of the path."""
    scheme, netloc = urlsplit(name)[:2]
    return f"{scheme}://{netloc}/" + ("/" if scheme in XROOTD else "")


def _is_plain(base: str) -> bool:
    """Return whether nothing is quoted in a URL."""
    return urlsplit(base).scheme in XROOTD


def _written(path: str, base: str) -> str:
    """Return a path as a URL spells it; blanks and similar characters may stay unescaped."""
    if _is_plain(base):
        return path
    return path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")


def _check(name: str, facts: FileFacts | None, size: int, checksum: str) -> FileFacts:
    if facts is None or facts.size != size or (facts.adler32 and facts.adler32 != checksum):
        raise PermanentError(f"{name}: {facts} is there after the upload of {size} bytes")
    return facts
