"""The header of a member of an archive, as `tarfile` of the standard library writes it."""

from __future__ import annotations

from collections.abc import Mapping

from .listing import Entry
from .sparse import BLOCKSIZE

_TYPES = {"file": b"0", "dir": b"5", "link": b"2"}
_LONGEST_NAME = 100  # bytes; tarfile divides a longer one, or needs a PAX record
_MOST = 8**11  # sizes and times that eleven octal digits hold are less


def header(entry: Entry, stored: int, records: Mapping[str, str]) -> bytes:
    """Return the header of a member.

    Args:
        entry: Its name, kind, mode, time and target; the owner is not in it.
        stored: Bytes of the member in the archive.
        records: Records of its PAX header; may be empty.
    """
    name = entry.name + "/" * (entry.kind == "dir")
    seconds = entry.mtime_ns // 10**9
    plain = name.isascii() and entry.target.isascii() and not records
    short = max(len(name), len(entry.target)) <= _LONGEST_NAME
    if plain and short and 0 <= seconds < _MOST and stored < _MOST:
        return _plain_header(entry, name, seconds, stored)
    import tarfile  # slow, and seldom needed

    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.size = _TYPES[entry.kind], entry.mode, stored
    info.mtime, info.linkname = seconds, entry.target
    info.pax_headers = dict(records)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _plain_header(entry: Entry, name: str, seconds: int, stored: int) -> bytes:
    """Return a header of POSIX.1-1988 (``ustar``)."""
    fields = (
        (name, 100),
        (f"{entry.mode & 0o7777:07o}", 8),
        ("0000000", 8),  # user
        ("0000000", 8),  # group
        (f"{stored:011o}", 12),
        (f"{seconds:011o}", 12),
        (" " * 8, 8),  # in place of the checksum
    )
    block = b"".join(text.encode().ljust(length, b"\0") for text, length in fields)
    block += _TYPES[entry.kind] + entry.target.encode().ljust(100, b"\0")
    block = (block + b"ustar\x0000").ljust(BLOCKSIZE, b"\0")
    return block[:148] + f"{sum(block):06o}\0".encode() + block[155:]
