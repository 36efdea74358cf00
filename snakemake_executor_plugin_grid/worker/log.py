"""The payload's output: its last words, and less of it where little is taken."""

from __future__ import annotations

from pathlib import Path

from .report import megabytes

_LAST_WORDS = 4096
_CHUNK = 1 << 20
_GAP = b"\n[...]\n"
_MOST_HEAD = 256 << 10


def tail(log: Path) -> bytes:
    """Return the payload's last words, nothing if there are none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LAST_WORDS))
            return stream.read()
    except OSError:
        return b""


def trim(log: Path, limit: int) -> None:
    """Cut the middle out of a file that is too long, and say so in its first line.

    It is done in place: the disk may be full.

    Args:
        log: The file; it may be missing.
        limit: Bytes it may have afterwards.

    Raises:
        OSError: It cannot be written.
    """
    try:
        size = log.stat().st_size
    except FileNotFoundError:
        return
    if size <= limit:
        return
    note = (
        f"[{megabytes(size - limit)} of the {megabytes(size)} of this output were cut out "
        "below, where it says [...]]\n"
    ).encode()
    with log.open("r+b") as stream:
        head = stream.read(min(limit // 4, _MOST_HEAD))
        stream.seek(0)
        to = stream.write(note + head + _GAP)
        # What is moved goes towards the start, so nothing is overwritten before it was read.
        at = size - max(0, limit - to)
        while at < size:
            stream.seek(at)
            piece = stream.read(_CHUNK)
            if not piece:
                break
            stream.seek(to)
            stream.write(piece)
            at += len(piece)
            to += len(piece)
        stream.truncate(min(to, limit))
