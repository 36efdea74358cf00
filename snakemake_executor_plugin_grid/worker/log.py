"""Reads the end of the payload's log, and shortens the log to a limit."""

from __future__ import annotations

from pathlib import Path

from .report import megabytes

_LAST_WORDS = 4096
_SEARCHED = 1 << 20
_KEPT_OF_LINE = 200  # at both ends
_CHUNK = 1 << 20
_GAP = b"\n[...]\n"
_MOST_HEAD = 256 << 10


def tail(log: Path) -> bytes:
    """Return the last bytes of the log, empty if there is none.

    Long lines are cut: Snakemake prints the inputs of a failed rule as one line.
    """
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _SEARCHED))
            lines = stream.read().split(b"\n")
    except OSError:
        return b""
    return b"\n".join(map(_cut, lines))[-_LAST_WORDS:]


def _cut(line: bytes) -> bytes:
    if len(line) <= 2 * _KEPT_OF_LINE:
        return line
    return line[:_KEPT_OF_LINE] + b" [...] " + line[-_KEPT_OF_LINE:]


def trim(log: Path, limit: int) -> None:
    """Cut out the middle of a log that is too long, and say so in its first line.

    This works in place, as the disk may be full.

    Args:
        log: The log; it may be missing.
        limit: Bytes to keep at most.

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
        # Data moves towards the start, so no byte is overwritten before it is read.
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
