"""Packs archives: the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path

from ..interruption import between_blocks
from ..records import dataclass
from .files import NEW, SIZE, HashedFile, file_digest, open_regular
from .header import header
from .listing import Entry
from .member import ChangedError, Member, TarballError, check_name
from .sparse import BLOCKSIZE, REAL_SIZE, SPARSE, Part, parts_of, write_map

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import BinaryIO


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
        ChangedError: A file changed or vanished meanwhile.
        TarballError: A name appears twice or is not relative, or the compression is not available.
        OSError: Something cannot be read or written.
    """
    if compression != "none":
        from .compression import check_compression, compressing

        check_compression(compression)
    chosen = sorted(entries, key=lambda entry: entry.name)
    for before, entry in zip([None, *chosen], chosen):
        check_name(entry.name)
        if before is not None and before.name == entry.name:
            raise TarballError(f"{archive}: {entry.name!r} was to be packed twice")
    part = archive.with_name(f".{archive.name}.{os.urandom(6).hex()}.part")
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
        raise type(error)(f"{archive} was not written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Packed(digest, size, members)


def _write(entries: list[Entry], out: BinaryIO, sums: bool) -> tuple[Member, ...]:
    members = []
    for entry in entries:
        if entry.kind == "file":
            members.append(_write_file(entry, out, sums))
        else:
            _write_header(entry, out, 0)
            members.append(
                Member(entry.name, entry.kind, entry.mode, 0, entry.mtime_ns, "", entry.target)
            )
    out.write(bytes(2 * BLOCKSIZE))
    return tuple(members)


def _write_header(entry: Entry, out: BinaryIO, stored: int, *, sparse: bool = False) -> None:
    records = {**SPARSE, REAL_SIZE: str(entry.size)} if sparse else {}
    out.write(header(entry, stored, records))


def _write_file(entry: Entry, out: BinaryIO, sums: bool) -> Member:
    """Write a file; its holes are left out if it has many."""
    sha256 = hashlib.sha256()
    try:
        fd, before = open_regular(entry.path)
    except FileNotFoundError as error:
        raise ChangedError(f"{entry.path} vanished before it was packed") from error
    try:
        if before.st_size != entry.size:
            raise _changed(entry, before)
        parts, head = _layout(fd, entry)
        stored = len(head) + sum(length for _, length in parts)
        _write_header(entry, out, stored, sparse=bool(head))
        sha256.update(head)
        out.write(head)
        left = 0
        for start, left in parts:
            os.lseek(fd, start, os.SEEK_SET)
            while left and (data := os.read(fd, min(left, SIZE))):
                between_blocks()
                if sums:
                    sha256.update(data)
                out.write(data)
                left -= len(data)
            if left:
                break
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if left or after.st_size != entry.size or after.st_mtime_ns != before.st_mtime_ns:
        raise _changed(entry, after)
    out.write(bytes(-stored % BLOCKSIZE))
    return Member(
        entry.name,
        "file",
        entry.mode,
        entry.size,
        entry.mtime_ns,
        sha256.hexdigest() if sums else "",
        holes=entry.size - stored,
    )


def _layout(fd: int, entry: Entry) -> tuple[list[Part], bytes]:
    """Return the parts of a file to pack, and their map if holes are left out."""
    if entry.holes:
        parts = parts_of(fd, entry.size)
        head = write_map(parts, entry.size)
        if len(head) + sum(length for _, length in parts) < entry.size:
            return parts, head
    return [(0, entry.size)], b""


def _changed(entry: Entry, status: os.stat_result) -> ChangedError:
    return ChangedError(
        f"{entry.path} changed while it was being packed "
        f"(from {entry.size} to {status.st_size} bytes); is something still writing to it?"
    )
