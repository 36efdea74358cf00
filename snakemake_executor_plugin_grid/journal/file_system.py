"""What the file system of a folder can do: many homes of grid users are on a network.

SQLite's write-ahead mode needs memory that all its readers share, which no network file system has
(SQLite documentation, "Write-Ahead Logging"). Some have no file locks either.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import re
import secrets
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_LOCAL = (
    *("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2"),
    *("overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs"),
)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def is_local(folder: Path) -> bool:
    """Return whether a folder is on a file system that only this host uses.

    Those that are not known to be local, such as ``nfs4``, ``afs``, ``lustre`` and all ``fuse``,
    count as shared; so does every one on a system other than Linux.
    """
    return file_system(folder) in _LOCAL


def file_system(folder: Path) -> str:
    """Return the type of the file system, as ``mount`` shows it; empty if not known."""
    try:
        folder = folder.resolve()
        lines = _MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    found = ""
    deepest = -1
    for line in lines:  # proc_pid_mountinfo(5): the mount point is the fifth field
        mount, _, source = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), mount.split()[4]))
        # A later mount at the same place covers an earlier one.
        if len(point.parts) >= deepest and folder.is_relative_to(point):
            found, deepest = source.split()[0], len(point.parts)
    return found


def means_no_locks(error: OSError) -> bool:
    """Return whether an error of a lock says that the file system has none."""
    return error.errno in _NO_LOCKS


def has_locks(folder: Path) -> bool:
    """Return whether files in a folder can be locked in the way that SQLite does."""
    probe = folder / f".{secrets.token_hex(8)}.probe"
    try:
        with probe.open("w") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not means_no_locks(error)
    finally:
        with contextlib.suppress(OSError):  # on a read-only mount even of a file that is not there
            probe.unlink()
    return True
