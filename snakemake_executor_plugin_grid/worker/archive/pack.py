"""Packs archives: the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .compression import check_compression, compressing
from .files import NEW, SIZE, HashedFile, file_digest, open_regular
from .listing import Entry
from .member import Member, TarballError, check_name

_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}


@dataclass(frozen=True)
class Packed:
    """A written archive.

    Attributes:
        digest: SHA-256 of the archive file's bytes, hex.
        size: Bytes of the archive file.
        members: Its members, sorted by name.
    """

    digest: str
    size: int
    members: tuple[Member, ...]


def pack(
    entries: Iterable[Entry], archive: Path, *, compression: str = "none", sums: bool = False
) -> Packed:
    """Write an archive; it gets its name only when it is complete.

    Args:
        entries: What to pack, in any order.
        archive: Where to write.
        compression: ``none``, ``gzip`` or ``zstd``.
        sums: Whether to compute the SHA-256 of each file, too.

    Raises:
        TarballError: A file changed or vanished meanwhile, a name appears twice or is not
            relative, or the compression is not available.
        OSError: Something cannot be read or written.
    """
    check_compression(compression)
    chosen = sorted(entries, key=lambda entry: entry.name)
    for before, entry in zip([None, *chosen], chosen):
        check_name(entry.name)
        if before is not None and before.name == entry.name:
            raise TarballError(f"{archive}: {entry.name!r} was to be packed twice")
    part = archive.with_name(f".{archive.name}.{secrets.token_hex(6)}.part")
    try:
        with os.fdopen(os.open(part, NEW, 0o600), "wb") as file:
            if compression == "none":
                hashed = HashedFile(file.fileno())
                with io.BufferedWriter(hashed, SIZE) as buffered:
                    members = _write(chosen, buffered, sums)
                size, digest = os.fstat(file.fileno()).st_size, hashed.sha256.hexdigest()
            else:
                with compressing(file, compression) as out:
                    members = _write(chosen, out, sums)
        if compression != "none":
            size, digest = file_digest(part)
        part.replace(archive)
    except TarballError as error:
        raise TarballError(f"{archive} was not written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(digest, size, members)


def _write(entries: list[Entry], out: BinaryIO, sums: bool) -> tuple[Member, ...]:
    members = []
    for entry in entries:
        info = tarfile.TarInfo(entry.name)
        info.type, info.mode = _TYPES[entry.kind], entry.mode
        info.size = entry.size if entry.kind == "file" else 0
        info.mtime, info.linkname = entry.mtime_ns // 10**9, entry.target
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        sha256 = _copy(entry, out, sums) if entry.kind == "file" else ""
        members.append(
            Member(
                entry.name, entry.kind, entry.mode, info.size, entry.mtime_ns, sha256, entry.target
            )
        )
    out.write(bytes(2 * tarfile.BLOCKSIZE))
    return tuple(members)


def _copy(entry: Entry, out: BinaryIO, sums: bool) -> str:
    """Write a file's bytes and padding; return its SHA-256, empty without ``sums``."""
    sha256 = hashlib.sha256()
    try:
        fd, before = open_regular(entry.path)
    except FileNotFoundError as error:
        raise TarballError(f"{entry.path} vanished before it was packed") from error
    try:
        left = entry.size
        while left and before.st_size == entry.size:
            data = os.read(fd, min(left, SIZE))
            if not data:
                break
            if sums:
                sha256.update(data)
            out.write(data)
            left -= len(data)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if left or after.st_size != entry.size or after.st_mtime_ns != before.st_mtime_ns:
        raise TarballError(
            f"{entry.path} changed while it was being packed "
            f"(from {entry.size} to {after.st_size} bytes); is something still writing to it?"
        )
    out.write(bytes(-entry.size % tarfile.BLOCKSIZE))
    return sha256.hexdigest() if sums else ""
