"""XRootD's client library, in a separate process.

Run by path, so it imports nothing of this package but the loop in ``client_process/serve.py``.
An error is ``{"message": …, "exception": …}``, the message being that of XRootD.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_TIMEOUT = 60  # seconds; of calls that move no file
_NEWS = 0.2  # seconds between reports on the progress of a copy
_CHECKSUM_TIMEOUT = 20  # seconds; a server may have to read the file
_CHECKSUM_TRIES = 3  # "[3012] Program failed" comes now and then (5.5.3)
_SILENCE = 300.0  # seconds for which a server that took longer is not asked for checksums
_silent: dict[str, float] = {}
# A server that is asked for more at a time lets the others wait for 30 s.
_checksums = threading.Semaphore(2)


class StatusError(Exception):
    """XRootD has answered with an error."""

    def __init__(self, status: Any) -> None:
        super().__init__(str(status.message).strip() or "no message")
        self.status = status


def value_of(reply: tuple[Any, Any]) -> Any:
    """Return the value of a reply: the one place where replies are checked.

    Raises:
        StatusError: The reply is an error.
    """
    status, value = reply
    if not status.ok:
        raise StatusError(status)
    return value


def start() -> dict[str, Any]:
    """Import the library."""
    import XRootD.client  # type: ignore[import-not-found,unused-ignore]

    return {"version": XRootD.client.__version__}


def stat(server: str, path: str) -> dict[str, Any]:
    """Return the size of a file or folder, and which of them it is."""
    from XRootD.client.flags import (  # type: ignore[import-not-found,unused-ignore]
        StatInfoFlags,
    )

    info = value_of(_files(server).stat(path, timeout=_TIMEOUT))
    return {"size": info.size, "is_folder": bool(info.flags & StatInfoFlags.IS_DIR)}


def facts(server: str, path: str) -> dict[str, Any]:
    """Return size, time and Adler-32 of a file, which is empty if the server does not tell it."""
    from XRootD.client.flags import StatInfoFlags

    info = value_of(_files(server).stat(path, timeout=_TIMEOUT))
    is_folder = bool(info.flags & StatInfoFlags.IS_DIR)
    adler32 = "" if is_folder else _checksum(server, path)
    return {"size": info.size, "mtime": info.modtime, "is_folder": is_folder, "adler32": adler32}


def _checksum(server: str, path: str) -> str:
    from XRootD.client.flags import QueryCode

    answer = b""
    for _ in range(_CHECKSUM_TRIES):
        if time.monotonic() < _silent.get(server, 0.0):
            break
        try:
            with _checksums:
                answer = value_of(
                    _files(server).query(QueryCode.CHECKSUM, path, timeout=_CHECKSUM_TIMEOUT)
                )
        except StatusError as error:
            if not error.status.errno or "[3013]" in str(error):  # it takes long, or knows none
                _silent[server] = time.monotonic() + _SILENCE
        else:
            break
    kind, _, value = bytes(answer).decode("ascii", "replace").strip("\0\n ").partition(" ")
    return value.lower().zfill(8) if kind.lower() == "adler32" else ""


def move(server: str, source: str, target: str) -> None:
    """Rename a file, and make the folders above; one that has the new name is replaced."""
    try:
        make(server, target.rpartition("/")[0])
    except StatusError as error:
        if "[3018]" not in str(error):  # it exists
            raise
    files = _files(server)
    try:
        value_of(files.mv(source, target, timeout=_TIMEOUT))
    except StatusError as error:
        if "[3018]" not in str(error):
            raise
        value_of(files.rm(target, timeout=_TIMEOUT))
        value_of(files.mv(source, target, timeout=_TIMEOUT))


def make(server: str, path: str) -> None:
    """Make a folder, with those above it."""
    from XRootD.client.flags import MkDirFlags

    value_of(_files(server).mkdir(path, MkDirFlags.MAKEPATH, timeout=_TIMEOUT))


class _Progress:
    """Reports the progress of a copy; called in a thread of the library."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._last = 0.0

    def begin(self, *_: Any) -> None:
        """Do nothing."""

    def end(self, *_: Any) -> None:
        """Do nothing."""

    def update(self, _job: int, processed: int, _total: int) -> None:
        """Tell, a few times a second."""
        now = time.monotonic()
        if now - self._last >= _NEWS:
            self._last = now
            self._tell(processed)

    def should_cancel(self, _job: int) -> bool:
        """Return False: a call that takes too long is ended with this process."""
        return False


def put(path: str, url: str) -> None:
    """Upload a file.

    No checksum is asked for: of many at a time a server has all but a few wait for 30 s (5.5.3,
    ``xrootd.chksum max``). Since XRootD 5, blocks have checksums on their way, and the worker
    checks the whole.
    """
    from serve import teller  # type: ignore[import-not-found]

    # The server removes incomplete uploads some time later (posc).
    _copy(path, url, _Progress(teller()), mkdir=True, posc=True)


def get(url: str, path: str) -> None:
    """Download a file."""
    _copy(url, path)


def remove(server: str, paths: Sequence[str]) -> dict[str, str]:
    """Remove files; return what failed, by path."""
    failed = {}
    for path in paths:
        try:
            value_of(_files(server).rm(path, timeout=_TIMEOUT))
        except StatusError as error:
            if not error.status.errno:
                raise  # of the connection
            failed[path] = str(error)
    return failed


def tidy(server: str, path: str) -> None:
    """Remove a folder, if it is empty."""
    value_of(_files(server).rmdir(path, timeout=_TIMEOUT))


def entries(server: str, path: str) -> dict[str, bool]:
    """Return what is in a folder, and whether each is a folder."""
    from XRootD.client.flags import DirListFlags, StatInfoFlags

    found = value_of(_files(server).dirlist(path, DirListFlags.STAT, timeout=_TIMEOUT))
    return {
        one.name: one.statinfo is not None and bool(one.statinfo.flags & StatInfoFlags.IS_DIR)
        for one in found
    }


CALLS: dict[str, Callable[..., Any]] = {
    call.__name__: call
    for call in (start, stat, facts, make, put, get, move, remove, tidy, entries)
}


def _files(server: str) -> Any:
    from XRootD import client

    return client.FileSystem(server)


def _copy(source: str, target: str, progress: _Progress | None = None, **options: Any) -> None:
    from XRootD import client

    process = client.CopyProcess()
    process.add_job(source, target, force=True, **options)
    value_of((process.prepare(), None))
    value_of(process.run(progress))


def _answer(name: str, args: Sequence[Any]) -> Any:
    return CALLS[name](*args)


def _error(error: BaseException) -> dict[str, Any]:
    return {
        "message": str(error) or type(error).__name__,
        "exception": "" if isinstance(error, StatusError) else type(error).__name__,
    }


if __name__ == "__main__":
    # Run by path, where the package may not be installed.
    sys.path[0] = str(Path(__file__).parents[1] / "client_process")
    from serve import serve

    serve(_answer, _error)
