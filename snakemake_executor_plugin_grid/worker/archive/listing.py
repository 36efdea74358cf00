"""Lists files, folders and links on disk as entries for an archive."""

from __future__ import annotations

import os
import stat

from ..records import dataclass
from .sparse import holes_of

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file, folder or link to pack.

    Attributes:
        name: Posix path in the archive, relative, such as ``work/data/a.txt``.
        path: Path on disk; empty for a directory that exists only in the archive.
        kind: ``file``, ``dir`` or ``link``.
        mode: Permission bits.
        size: Bytes; 0 unless a file.
        mtime_ns: Modification time, nanoseconds since the epoch.
        target: Target of a link.
        holes: By how many bytes a file is smaller in an archive, because its holes are left out.
    """

    name: str
    path: str
    kind: str
    mode: int
    size: int
    mtime_ns: int
    target: str = ""
    holes: int = 0

    @property
    def stored(self) -> int:
        """Bytes that it takes in an archive, if it does not change until it is packed."""
        return self.size - self.holes

    def is_large(self, limit: int) -> bool:
        """Return whether it is stored as it is, not in a tarball.

        Args:
            limit: Files of this size in bytes, or more, are. Holes are kept in a tarball only.
        """
        return self.kind == "file" and self.size >= limit and not self.holes


def scan(path: Path, name: str, special: list[str] | None = None) -> Iterator[Entry]:
    """List a path and, if it is a directory, everything below it, sorted by name.

    Links are not followed, except ``path`` itself. Sockets, FIFOs and devices are left out.

    Args:
        path: The file or directory.
        name: Its name in the archive.
        special: Gets a text for each socket, FIFO or device.

    Raises:
        OSError: Something cannot be read, or ``path`` does not exist.
    """
    top = os.fspath(path)
    found: list[Entry] = []
    todo = [(name, top, os.stat(top))]  # noqa: PTH116 - follows the top only
    while todo:
        folder, where, status = todo.pop()
        entry = _entry(folder, where, status)
        if entry is None:
            if special is not None:
                special.append(f"{folder}: {special_kind(status)}, which cannot leave its host")
            continue
        found.append(entry)
        if entry.kind == "dir":
            with os.scandir(where) as items:
                for item in items:
                    status = item.stat(follow_symlinks=False)
                    todo.append((f"{folder}/{item.name}", item.path, status))
    found.sort(key=lambda entry: entry.name)
    yield from found


def _entry(name: str, path: str, status: os.stat_result) -> Entry | None:
    mode = stat.S_IMODE(status.st_mode)
    mtime_ns = status.st_mtime_ns
    if stat.S_ISREG(status.st_mode):
        holes = holes_of(path, status)
        return Entry(name, path, "file", mode, status.st_size, mtime_ns, holes=holes)
    if stat.S_ISDIR(status.st_mode):
        return Entry(name, path, "dir", mode, 0, mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, path, "link", 0o777, 0, mtime_ns, os.readlink(path))  # noqa: PTH115
    return None


def special_kind(status: os.stat_result) -> str:
    """Return "a FIFO", "a socket" or "a device"; empty for files, folders and links."""
    mode = status.st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode):
        return ""
    return "a FIFO" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
