"""Tarballs: pack files, the same bytes for the same files; unpack what nobody vouches for."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ustar
from .member import Member, check_name
from .scan import Entry, scan
from .streams import Output, Ring, check_compression, copy_to, digest_of, open_regular, read_full
from .unpack import Unpacked, unpack
from .ustar import TarballError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Entry",
    "Member",
    "Packed",
    "TarballError",
    "Unpacked",
    "copy_hashed",
    "file_digest",
    "pack",
    "place",
    "scan",
    "unpack",
]

_TYPES = {"file": ustar.FILE, "dir": ustar.DIR, "link": ustar.LINK}
_BIG = 1 << 18  # from this size on a file's sum is worth handing to the thread


@dataclass(frozen=True)
class Packed:
    """A written archive.

    Attributes:
        digest: SHA-256 of the archive file's bytes, hex.
        size: Bytes of the archive file.
        members: What is in it, sorted by name.
    """

    digest: str
    size: int
    members: tuple[Member, ...]


def pack(
    entries: Iterable[Entry], archive: Path, *, compression: str = "none", sums: bool = False
) -> Packed:
    """Write an archive; it appears under its name only when it is whole.

    Args:
        entries: What goes in, in any order.
        archive: Where to write.
        compression: ``none``, ``gzip`` or ``zstd``.
        sums: Whether to take the SHA-256 of each file, too.

    Raises:
        TarballError: A file changed or vanished meanwhile, a name is there twice or not relative,
            or the compression cannot be had.
        OSError: Something cannot be read or written.
    """
    check_compression(compression)
    chosen = sorted(entries, key=lambda entry: entry.name)
    for before, entry in zip([None, *chosen], chosen):
        check_name(entry.name)
        if before is not None and before.name == entry.name:
            raise TarballError(f"{archive}: {entry.name!r} is to be packed twice")
    part = archive.with_name(f".{archive.name}.{secrets.token_hex(6)}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            with Ring() as ring:
                out = Output(fd, ring, compression)
                try:
                    members = _write(chosen, out, ring, sums)
                finally:
                    out.close()
                digest = ring.hexdigest()
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if compression != "none":
            size, digest = digest_of(part)
        part.replace(archive)
    except TarballError as error:
        raise TarballError(f"{archive} was not written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(digest, size, members)


def _write(entries: list[Entry], out: Output, ring: Ring, sums: bool) -> tuple[Member, ...]:
    summed: list[Any] = []
    for entry in entries:
        out.write(
            ustar.encode(
                entry.name,
                _TYPES[entry.kind],
                entry.mode,
                entry.size if entry.kind == "file" else 0,
                entry.mtime_ns // 10**9,
                entry.target,
            )
        )
        summed.append(_put(entry, out, ring, sums) if entry.kind == "file" else None)
    out.write(bytes(2 * ustar.BLOCK))
    out.finish()
    ring.wait()  # for the sums
    return tuple(
        Member(
            entry.name,
            entry.kind,
            entry.mode,
            entry.size if entry.kind == "file" else 0,
            entry.mtime_ns,
            "" if sha256 is None else sha256.hexdigest(),
            entry.target,
        )
        for entry, sha256 in zip(entries, summed)
    )


def _put(entry: Entry, out: Output, ring: Ring, sums: bool) -> Any:
    """Put a file's bytes and padding in; its sum, due once the ring has been waited for."""
    sha256 = hashlib.sha256() if sums else None
    try:
        fd, before = open_regular(entry.path)
    except FileNotFoundError as error:
        raise TarballError(f"{entry.path} vanished before it was packed") from error
    try:
        left = entry.size
        while left and before.st_size == entry.size:
            view = out.space()[:left]
            count = read_full(fd, view)
            if not count:
                break
            if sha256 is not None:
                if entry.size >= _BIG:
                    ring.update(sha256, view[:count])
                else:
                    sha256.update(view[:count])
            out.filled(count)
            left -= count
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if left or after.st_size != entry.size or after.st_mtime_ns != before.st_mtime_ns:
        raise TarballError(
            f"{entry.path} changed while it was being packed "
            f"(from {entry.size} to {after.st_size} bytes); is something still writing to it?"
        )
    if entry.size % ustar.BLOCK:
        out.write(bytes(-entry.size % ustar.BLOCK))
    return sha256


def copy_hashed(source: Path, target: Path, *, limit: int | None = None) -> tuple[int, str]:
    """Copy a regular file to a new one that only its owner may read.

    Args:
        source: The file.
        target: Must not exist; removed again on failure.
        limit: Bytes the file may have at most.

    Returns:
        Bytes and SHA-256.

    Raises:
        TarballError: The file is bigger than ``limit`` or is not a regular file.
        OSError: It cannot be read, or ``target`` exists or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(target, flags, 0o600)
    try:
        try:
            return copy_to(source, fd, limit)
        finally:
            os.close(fd)
    except BaseException:
        with suppress(OSError):
            Path(target).unlink()
        raise


def place(source: Path, target: Path, member: Member) -> None:
    """Copy one file and check it, with the mode and time that it shall have.

    Args:
        source: The file.
        target: Must not exist; folders above it are made.
        member: What is known of it: size and SHA-256 have to be right. A time in the future
            becomes the present, since an input from the future would be newer than what is made
            of it.

    Raises:
        TarballError: It has other contents.
        OSError: It cannot be read or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    size, digest = copy_hashed(source, target, limit=member.size)
    if (size, digest) != (member.size, member.sha256):
        raise TarballError(
            f"{member.name}: {size} bytes with SHA-256 {digest}, expected {member.size} bytes "
            f"with {member.sha256}"
        )
    target.chmod(member.mode & 0o777)
    moment = min(member.mtime_ns, time.time_ns())
    os.utime(target, ns=(moment, moment))


def file_digest(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a regular file.

    Raises:
        TarballError: It is not a regular file.
        OSError: It cannot be read.
    """
    return digest_of(path)
