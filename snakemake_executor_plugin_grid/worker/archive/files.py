"""Reads, copies and places single files, with their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from ..interruption import between_blocks
from .member import Member, TarballError
from .sparse import parts_of, write_holes

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

SIZE = 1 << 20
"""Bytes that are read or written at a time."""
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags of `os.open` for a file that must not exist."""


class HashedFile(io.RawIOBase):
    """A file descriptor with the SHA-256 of all bytes that are read from it or written to it."""

    def __init__(self, fd: int) -> None:
        """Use ``fd``, which the caller closes."""
        super().__init__()
        self._fd = fd
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Return whether it can be read."""
        return True

    def writable(self) -> bool:
        """Return whether it can be written."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return the number of bytes."""
        count = os.readv(self._fd, [buffer])
        self.sha256.update(memoryview(buffer)[:count])
        return count

    def write(self, data: Any) -> int:
        """Write some of the bytes; return how many."""
        count = os.write(self._fd, data)
        self.sha256.update(memoryview(data)[:count])
        return count


def open_regular(path: str, *, follow: bool = True) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; does not wait for the other end of a fifo.

    Args:
        path: The file.
        follow: Whether it may be a link to one.

    Raises:
        TarballError: It is not a regular file.
        OSError: It cannot be opened.
    """
    no_links = 0 if follow else os.O_NOFOLLOW
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | no_links)
    except OSError as error:
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not follow):
            raise TarballError(f"{path} is not a regular file") from None  # a socket or a link
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise TarballError(f"{path} is not a regular file")
    return fd, status


def file_digest(path: Path, *, follow: bool = True) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 of a regular file.

    Args:
        path: The file.
        follow: Whether it may be a link.

    Raises:
        TarballError: It is not a regular file.
        OSError: It cannot be read.
    """
    return _read(path, None, None, follow=follow)


def copy_hashed(
    source: Path, target: Path, *, limit: int | None = None, follow: bool = True
) -> tuple[int, str]:
    """Copy a regular file to a new one that only its owner may read.

    Args:
        source: The file.
        target: Must not exist; removed again on failure.
        limit: Bytes the file may have at most.
        follow: Whether the source may be a link.

    Returns:
        Bytes and SHA-256.

    Raises:
        TarballError: The file is bigger than ``limit`` or is not a regular file.
        OSError: It cannot be read, or ``target`` exists or cannot be written.
    """
    fd = os.open(target, NEW, 0o600)
    try:
        try:
            return _read(source, fd, limit, follow=follow)
        finally:
            os.close(fd)
    except BaseException:
        with suppress(OSError):
            Path(target).unlink()
        raise


def copy_file(source: str | Path, target: str | Path) -> None:
    """Do the same as `shutil.copy2` without following links, but keep holes.

    Half a copy is removed again.
    """
    import shutil

    if not stat.S_ISREG(os.lstat(source).st_mode):
        shutil.copy2(source, target, follow_symlinks=False)
        return
    Path(target).unlink(missing_ok=True)
    fd, status = open_regular(os.fspath(source))
    try:
        out = os.open(target, NEW, 0o600)
        try:
            _copy_parts(fd, out, status.st_size)
        except BaseException:
            Path(target).unlink()
            raise
        finally:
            os.close(out)
    finally:
        os.close(fd)
    shutil.copystat(source, target)


def _copy_parts(fd: int, out: int, size: int) -> None:
    for start, length in parts_of(fd, size):
        os.lseek(fd, start, os.SEEK_SET)
        os.lseek(out, start, os.SEEK_SET)
        while length and (data := os.read(fd, min(length, SIZE))):
            between_blocks()
            write_holes(out, data, len(data))
            length -= len(data)
    os.ftruncate(out, size)


def _read(source: Path, out: int | None, limit: int | None, *, follow: bool) -> tuple[int, str]:
    sha256 = hashlib.sha256()
    buffer = bytearray(SIZE)
    view = memoryview(buffer)
    total = 0
    fd, _ = open_regular(os.fspath(source), follow=follow)
    try:
        while count := os.readv(fd, [view]):
            between_blocks()
            total += count
            if limit is not None and total > limit:
                raise TarballError(f"{source} is bigger than the {limit} bytes allowed")
            sha256.update(view[:count])
            if out is not None:
                write_holes(out, buffer, count)
        if out is not None:
            os.ftruncate(out, total)
        return total, sha256.hexdigest()
    finally:
        os.close(fd)


def place(source: Path, target: Path, member: Member, *, follow: bool = True) -> None:
    """Copy one file, check it, and set its mode and time.

    Args:
        source: The file.
        target: Must not exist; folders above it are made.
        member: Size and SHA-256 that the file must have, and the mode and time to set. A time in
            the future becomes the present: such an input would be newer than what is made of it.
        follow: Whether the source may be a link.

    Raises:
        TarballError: It has other contents.
        OSError: It cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    size, digest = copy_hashed(source, target, limit=member.size, follow=follow)
    if (size, digest) != (member.size, member.sha256):
        raise TarballError(
            f"{member.name}: {size} bytes with SHA-256 {digest}, expected {member.size} bytes "
            f"with {member.sha256}"
        )
    target.chmod(member.mode & 0o777)
    moment = min(member.mtime_ns, time.time_ns())
    os.utime(target, ns=(moment, moment))
