"""Files with holes: finds the holes, packs only the data, and makes the holes again.

A file that is mostly holes is packed as a sparse member of a PAX archive, in format 1.0 of GNU tar
(its manual, "PAX Format, Version 1.0"), which `tarfile` and GNU tar read: the member holds a map of
the parts with data, then these parts. The SHA-256 of such a file in a manifest is that of the
member's bytes: the map tells where the parts are and where the file ends, so this determines every
byte of the file. Nobody has to hash, move or write its zeros, which would take minutes for 40 GiB.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from ..interruption import between_blocks
from .member import TarballError

SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
"""Records of the PAX header of a sparse member, besides `REAL_SIZE`."""
REAL_SIZE = "GNU.sparse.realsize"
"""Record with the bytes of the file."""

BLOCKSIZE = 512
"""Bytes by which archives are measured: `tarfile.BLOCKSIZE`, whose import is slow."""

Part = tuple[int, int]
"""Offset and length in bytes of a part of a file that holds data."""

_BLOCK = 4096  # of most file systems; a smaller hole saves nothing
_LEAST_SIZE = 1 << 16  # of a file that is packed as a sparse one
_MOST_PARTS = 1 << 16  # so that the map takes 2.6 MB of memory at most
_DIGITS = 19
_ZEROS = bytes(_BLOCK)


def holes_of(path: str, status: os.stat_result) -> int:
    """Return by how many bytes a regular file is smaller as a sparse member.

    It is 0 unless this is half of the file or more.
    """
    # Blocks of the file system alone do not tell: a compressed file has few of them, too.
    if status.st_size < _LEAST_SIZE or status.st_blocks * 512 * 2 > status.st_size:
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return 0  # whoever reads it finds out why
    try:
        parts = parts_of(fd, status.st_size)
    finally:
        os.close(fd)
    stored = len(write_map(parts, status.st_size)) + sum(length for _, length in parts)
    holes = status.st_size - stored
    return holes if holes * 2 >= status.st_size else 0


def parts_of(fd: int, size: int) -> list[Part]:
    """Return the parts of an open file that hold data, in order; all where holes are not known."""
    parts: list[Part] = []
    gap = end = 0
    while end < size:
        between_blocks()
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                break
            return [(0, size)]  # the file system does not know
        if start < size:
            parts.append((start, end - start))
        if len(parts) > _MOST_PARTS:
            gap = max(2 * gap, 1 << 16)
            parts = _joined(parts, gap)
    return parts


def _joined(parts: Iterable[Part], gap: int) -> list[Part]:
    """Join parts with less than a gap between them."""
    joined: list[Part] = []
    for start, length in parts:
        if joined and start - sum(joined[-1]) < gap:
            first = joined[-1][0]
            joined[-1] = (first, start + length - first)
        else:
            joined.append((start, length))
    return joined


def write_map(parts: list[Part], size: int) -> bytes:
    """Return the map of a sparse member."""
    # GNU tar takes the size of the file from an empty part at its end.
    entries = [*parts, (size, 0)]
    text = "\n".join(map(str, [len(entries), *(number for part in entries for number in part), ""]))
    return text.encode() + bytes(-len(text) % BLOCKSIZE)


def read_map(read: Callable[[int], bytes], stored: int, size: int) -> tuple[bytes, list[Part]]:
    """Read and check the map of a sparse member.

    Args:
        read: Returns some of the next bytes of the member.
        stored: Bytes of the member in the archive.
        size: Bytes of the file.

    Returns:
        Its bytes, and the parts.

    Raises:
        TarballError: Parts overlap, are not in order or beyond the end, or there is more or less
            data than the map says.
    """
    raw = bytearray()
    lines, wanted = 0, 1
    while lines < wanted:
        block = read(BLOCKSIZE)
        if len(block) < BLOCKSIZE or len(raw) + BLOCKSIZE > stored:
            raise TarballError("the map of a sparse file is cut off")
        if not raw:
            wanted = 1 + 2 * _number(block.partition(b"\n")[0], _MOST_PARTS + 1)
        raw += block
        lines += block.count(b"\n")
    *numbers, padding = bytes(raw).split(b"\n", wanted)
    if padding.strip(b"\0"):
        raise TarballError("the map of a sparse file is damaged")
    values = iter([_number(text, size) for text in numbers[1:]])
    parts = list(zip(values, values))
    end = 0
    for start, length in parts:
        if start < end or start + length > size:
            raise TarballError("the parts of a sparse file overlap, or are beyond its end")
        end = start + length
    if len(raw) + sum(length for _, length in parts) != stored:
        raise TarballError("the map of a sparse file contradicts the size of its data")
    return bytes(raw), parts


def _number(text: bytes, most: int) -> int:
    if not text.isdigit() or len(text) > _DIGITS or int(text) > most:
        raise TarballError(f"the map of a sparse file has a bad number: {text!r:.40}")
    return int(text)


def write_holes(fd: int, data: bytes | bytearray, size: int) -> None:
    """Write the first bytes of a buffer to a new file; blocks of zeros become holes.

    The caller sets the size of the file at the end: a hole there writes nothing.
    """
    view = memoryview(data)
    done = 0
    for start in range(0, size, _BLOCK):
        end = min(start + _BLOCK, size)
        if data.startswith(_ZEROS[: end - start], start):
            write_all(fd, view[done:start])
            os.lseek(fd, end - start, os.SEEK_CUR)
            done = end
    write_all(fd, view[done:size])


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of a buffer."""
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:])
