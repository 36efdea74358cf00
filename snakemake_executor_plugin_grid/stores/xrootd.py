"""XRootD, ``root://host//path``, as EOS, dCache and XRootD itself serve it.

By the Python library of XRootD (wheels of 6.2.1 for Python 3.11 to 3.13), not by fsspec-xrootd on
top of it, which loses the number of an error. The library is C++ with its own threads, may hang
and keeps connections, so it runs in a separate process, which is ended when it hangs.

What its messages mean is told in ``worker/xrootd.py``: they are those of ``xrdcp``.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from ..client_process.client import ProcessClient
from ..console.format import clause
from ..console.progress import NOTHING, Transfer, size_of
from ..model.errors import (
    CredentialsError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from ..resilience.calls import CALL_TIMEOUT, TRANSFER_TIMEOUT
from ..worker.transfer.credentials import bearer_token, has_expired
from ..worker.transfer.errors import AbsentError, PassingError, RefusedError, TransferError
from ..worker.transfer.xrootd import environment, fail, plain
from .file_catalog import FileFacts
from .transport import FileServer

_PROGRAM = Path(__file__).with_name("xrootd_program.py")
_PER_CALL = 50  # files; so that their removal stays within the time of a call
_NOT_AUTHORIZED = "[3010]"
_PORT = 1094
_CONNECT_TIMEOUT = 5.0
_NO_SPACE = ("[3009]", "[3021]")


class StatusError(GridError):
    """What XRootD has answered, in its words."""


class Client(ProcessClient):
    """The library, in this Python."""

    transfers = frozenset({"put", "get"})
    name = "XRootD"
    option = "Python"

    def __init__(self, log: Path, token_file: Path | None) -> None:
        """Start nothing yet.

        Args:
            log: File to which the library's output is appended.
            token_file: Holds the bearer token; None for the usual places.
        """
        super().__init__(Path(sys.executable), log)
        self._token_file = token_file

    @property
    def program(self) -> Path:
        """The program beside this module."""
        return _PROGRAM

    def environment(self) -> dict[str, str]:
        """Return this process's own variables, with limits of time."""
        variables = environment()
        if self._token_file is not None:
            variables.pop("BEARER_TOKEN", None)  # it would come first
            variables["BEARER_TOKEN_FILE"] = str(self._token_file.absolute())
        return variables

    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        """Return the error to raise for a failed call."""
        exception, message = answer["exception"], answer["message"]
        if not exception:
            return StatusError(message)
        if exception in ("ImportError", "ModuleNotFoundError"):
            return PermanentError(
                f"root:// needs the XRootD library ({message}): pip install "
                "'snakemake-executor-plugin-grid[xrootd]'"
            )
        return PermanentError(f"the XRootD library failed in {call}: {exception}: {message}")


class XRootDTransport(FileServer):
    """Files below a URL, with the credentials that XRootD finds: proxy, token, shared secret."""

    def __init__(
        self, url: str, token_file: Path | None = None, log: Path = Path(os.devnull)
    ) -> None:
        """Connect to nothing yet; the library's process starts with the first call.

        Args:
            url: ``root://host[:port]//path``; nothing in it is quoted.
            token_file: Holds the bearer token; by default it is where XRootD looks for it.
            log: File for what the library prints.

        Raises:
            PermanentError: The URL has no absolute path.
        """
        scheme, netloc = urlsplit(url)[:2]
        self._server = f"{scheme}://{netloc}"
        path = url.removeprefix(self._server)
        if not path.startswith("//"):
            raise PermanentError(
                f"--grid-store {url}: has to name an absolute path, with two slashes behind the "
                f"host: {self._server}//{path.lstrip('/') or 'path'}"
            )
        self._folder = f"/{path.strip('/')}".rstrip("/")
        self.url = f"{self._server}/{self._folder}"
        self._token_file = token_file
        self._client = Client(log, token_file)
        self._answers = False

    def check(self) -> None:
        """Make the folder.

        Raises:
            GridError: It cannot be made, or is a file.
        """
        try:
            found = self._call("", "stat", self._server, self._folder or "/")
        except MissingError:
            self._call("", "make", self._server, self._folder)
        else:
            if not found["is_folder"]:
                raise PermanentError(f"{self.url} is a file; name a folder by --grid-store.")

    def size(self, name: str) -> int | None:
        """Ask for the size of a file."""
        try:
            found = self._call(name, "stat", self._server, self._path(name))
        except MissingError:
            return None
        return None if found["is_folder"] else int(found["size"])

    def facts(self, name: str) -> FileFacts | None:
        """Ask for size, time and checksum of a file.

        Raises:
            GridError: It is a folder, or the server does not answer.
        """
        try:
            found = self._call(name, "facts", self._server, self._path(name))
        except MissingError:
            return None
        if found["is_folder"]:
            raise PermanentError(f"{self._at(name)}: is a folder")
        return FileFacts(int(found["size"]), float(found["mtime"]), str(found["adler32"]))

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """Copy a file there."""
        path.stat()  # an error of this disk, told as such
        with plain(path) as local:
            args = (str(local), self._at(name))
            self._call(name, "put", *args, limit=TRANSFER_TIMEOUT, told=transfer.reach)

    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        """Copy a file here."""
        with plain(path) as local:
            transfer.watch(size_of(local))
            self._call(name, "get", self._at(name), str(local), limit=TRANSFER_TIMEOUT)

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove files, some in each call.

        Raises:
            GridError: The server does not answer, or takes no credentials.
        """
        failed = {}
        for first in range(0, len(names), _PER_CALL):
            by_path = {self._path(name): name for name in names[first : first + _PER_CALL]}
            answer = self._call("", "remove", self._server, list(by_path))
            for path, message in answer.items():
                try:
                    self._fail(message, by_path[path])
                except MissingError:
                    continue
                except (GridError, OSError) as error:
                    failed[by_path[path]] = str(error)
        return failed

    def entries(self, folder: str) -> dict[str, bool]:
        """Return the names in a folder, and whether each is a folder."""
        try:
            found = self._call(folder, "entries", self._server, self._path(folder))
        except MissingError:
            return {}
        return {name: bool(is_folder) for name, is_folder in found.items()}

    def tidy(self, folder: str) -> None:
        """Remove a folder that is empty."""
        if not self.listing(folder):
            try:
                self._call(folder, "tidy", self._server, self._path(folder))
            except MissingError:
                return

    def move(self, name: str, other: str) -> bool:
        """Rename a file."""
        self._call(other, "move", self._server, self._path(name), self._path(other))
        return True

    def source(self, name: str) -> str:
        """Return the URL of the file; the worker has its own credentials."""
        return self._at(name)

    def inbox(self, folder: str) -> str:
        """Return the URL of the folder."""
        return self._at(folder)

    def close(self) -> None:
        """End the library's process."""
        self._client.close()

    def _at(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _call(
        self,
        name: str,
        call: str,
        *args: Any,
        limit: float = CALL_TIMEOUT,
        told: Callable[[int], None] = NOTHING.reach,
    ) -> Any:
        if not self._answers:
            self._connect()
        try:
            value = self._client.move_now(told, call, *args, limit=limit)
        except StatusError as error:
            self._fail(str(error), name)
        self._answers = True
        return value

    def _connect(self) -> None:
        """Make sure that somebody listens: the library would try for a minute.

        Raises:
            UnreachableError: Nobody does.
        """
        self._client.facts_now()  # a library that is missing is reported first
        parts = urlsplit(self._server)
        host, port = parts.hostname or "", parts.port or _PORT
        try:
            socket.create_connection((host, port), _CONNECT_TIMEOUT).close()
        except (ConnectionRefusedError, socket.gaierror) as error:
            cause = f"{host}:{port}: {(error.strerror or 'unknown host').lower()}"
            raise UnreachableError(f"{self._server} does not answer ({cause})", cause) from error
        except OSError:
            return  # it may be slow, or reached by other ways

    def _fail(self, message: str, name: str) -> NoReturn:
        """Raise what a message of XRootD means.

        Raises:
            GridError: Says what to do.
            OSError: Of the local disk.
        """
        try:
            fail(message, self._at(name) if name else self.url)
        except PassingError as error:
            self._answers = False
            raise TransientError(str(error)) from error
        except AbsentError as error:
            raise MissingError(str(error)) from error
        except RefusedError as error:
            self._renew(error)
        except TransferError as error:
            if any(number in message for number in _NO_SPACE):
                raise PermanentError(
                    f"{clause(error)}; free some space there, or choose another place"
                ) from error
            if _NOT_AUTHORIZED in message:
                if self._has_expired():
                    self._renew(error)
                raise PermanentError(
                    f"{clause(error)}; you may not do this there with this proxy or token: choose "
                    "another folder, or get other credentials"
                ) from error
            raise PermanentError(str(error)) from error

    def _renew(self, error: TransferError) -> NoReturn:
        """Ask for new credentials, and restart the library, which has read the old ones."""
        self._client.restart()
        raise CredentialsError(
            f"{clause(error)}: renew the proxy or token that {self._server} takes "
            "(X509_USER_PROXY; --grid-store-token or BEARER_TOKEN_FILE)"
        ) from error

    def _has_expired(self) -> bool:
        try:
            return has_expired(bearer_token(self._token_file))
        except TransferError:
            return True
