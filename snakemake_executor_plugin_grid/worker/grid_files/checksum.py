"""The checksum that file catalogs of the grid keep."""

from __future__ import annotations

import zlib
from pathlib import Path

from ..archive.files import SIZE
from ..interruption import between_blocks


def adler32(path: Path) -> str:
    """Return the Adler-32 of a file in eight lower-case hex digits."""
    value = 1
    with path.open("rb") as stream:
        while block := stream.read(SIZE):
            value = zlib.adler32(block, value)
            between_blocks()
    return f"{value:08x}"


def same(found: str, wanted: str) -> bool:
    """Return whether two Adler-32 are the same; catalogs may leave out zeros, or have capitals."""
    return found.lower().zfill(8) == wanted.lower().zfill(8)
