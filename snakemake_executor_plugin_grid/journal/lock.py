"""One at a time: a run, or a command that changes what runs have left, has the folder."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import IO

from ..model.errors import GridError


def lock_folder(folder: Path) -> IO[str]:
    """Make sure that no other run uses the folder; the lock ends with the returned file.

    Raises:
        GridError: Another run does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "lock").open("w")
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
