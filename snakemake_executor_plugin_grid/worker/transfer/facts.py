"""What a server knows of a file."""

from __future__ import annotations

from ..records import dataclass


@dataclass(frozen=True)
class Facts:
    """What a server knows of a file.

    Attributes:
        size: Bytes.
        mtime: Seconds since the epoch (UTC) of its last change; 0 if the server does not tell it.
        adler32: Checksum in eight lower-case hex digits; empty if the server does not tell it.
    """

    size: int
    mtime: int = 0
    adler32: str = ""
