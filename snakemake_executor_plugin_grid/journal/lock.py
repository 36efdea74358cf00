"""The lock of a workflow's folder: held by a run, or by a command that changes the journal."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

from ..model.errors import GridError

_FILE = "lock"


def lock_folder(folder: Path) -> IO[str]:
    """Lock the folder of this package; closing the returned file unlocks it.

    Raises:
        GridError: Another process has locked it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / _FILE).open("w")
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GridError(
            f"another run with --executor grid is going on in {folder.parents[1]}; wait for its "
            "end, or stop it"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network file systems
            raise GridError(f"{folder}: {error.strerror}") from error
    return stream


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
    except OSError:  # not readable, or a file system without locks
        return None
    return False
