"""The lock of a workflow's folder: held by a run, or by a command that changes the journal.

It is a ``flock``, which ends with its process. Where the file system has no such locks, a file
names the holder instead; after a kill it remains, and only the same host can tell that it is void.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from ..model.errors import GridError
from .file_system import means_no_locks

HOLDER_FILE = "lock.holder"
_FILE = "lock"
_TRIES = 100
_PAUSE = 0.05


class FolderLock:
    """A lock that is held until it is closed.

    Attributes:
        warning: What the user has to know of it; empty if nothing.
    """

    def __init__(self, stream: IO[str], holder: Path | None) -> None:
        """Hold a lock.

        Args:
            stream: File that is locked, or that cannot be locked.
            holder: File that takes the place of the lock; None if the stream is locked.
        """
        self._stream = stream
        self._holder = holder
        self.warning = ""
        if holder is not None:
            self.warning = (
                f"the file system of {holder.parent} has no file locks. The file {holder.name} "
                "keeps a second run out instead: it remains if this run is killed, and a run on "
                "another host then asks you to remove it."
            )

    def close(self) -> None:
        """Unlock the folder."""
        if self._holder is not None:
            self._holder.unlink(missing_ok=True)
            self._holder = None
        self._stream.close()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lock_folder(folder: Path) -> FolderLock:
    """Lock the folder of this package.

    Raises:
        GridError: Another process has locked it, or may have.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / _FILE).open("a+")  # NFS locks need a file open for both
    except OSError as error:
        raise GridError(f"{folder}: {error.strerror}") from error
    try:
        if not _lock(stream):
            raise _is_taken(folder, "")
        return FolderLock(stream, None)
    except OSError as error:
        if means_no_locks(error):
            return FolderLock(stream, _claim(folder))
        stream.close()
        raise GridError(f"{folder}: {error.strerror}") from error
    except GridError:
        stream.close()
        raise


def is_locked(folder: Path) -> bool | None:
    """Return whether a run, or a command that changes the journal, is going on; None if unknown.

    This takes a shared lock for a moment, so several commands can test at the same time.
    """
    try:
        with (folder / _FILE).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        return _is_claimed(folder) if means_no_locks(error) else None  # None: not readable
    return False


def _lock(stream: IO[str]) -> bool:
    """Lock a file; return whether no other process has it.

    A command that only tests the lock, as ``status`` does, shares it for a moment: wait for that.
    """
    for _ in range(_TRIES):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            pass
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # somebody has it alone
        fcntl.flock(stream, fcntl.LOCK_UN)
        time.sleep(_PAUSE)
    return False


def _claim(folder: Path) -> Path:
    """Make the file that names this process as the holder."""
    path = folder / HOLDER_FILE
    if _is_claimed(folder) is False:
        path.unlink(missing_ok=True)  # its process has ended
    try:
        with path.open("x") as stream:
            stream.write(f"{socket.gethostname()} {os.getpid()}\n")
    except FileExistsError:
        host, pid = _holder(path)
        raise _is_taken(
            folder,
            f" (process {pid} on {host}, as the file system has no locks that would tell). If "
            f"there is none, remove {path}",
        ) from None
    except OSError as error:
        raise GridError(f"{path}: {error.strerror}") from error
    return path


def _is_claimed(folder: Path) -> bool | None:
    """Return whether the process that the file names is alive; None if that cannot be known."""
    path = folder / HOLDER_FILE
    if not path.exists():
        return False
    host, pid = _holder(path)
    if host != socket.gethostname() or not pid.isdecimal():
        return None
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def _holder(path: Path) -> tuple[str, str]:
    try:
        host, _, pid = path.read_text().strip().partition(" ")
    except (OSError, UnicodeDecodeError):
        host = pid = ""
    return host or "an unknown host", pid or "unknown"


def _is_taken(folder: Path, more: str) -> GridError:
    return GridError(
        f"another run with --executor grid is going on in {folder.parents[1]}; wait for its end, "
        f"or stop it{more}"
    )
