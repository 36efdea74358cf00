"""Stores outputs on servers without a catalog, by WebDAV or XRootD.

A file is uploaded under a name of this attempt, and renamed when it is whole. It takes the place of
the file that was there when the job was sent, and of no other: this attempt may have been given up
for lost, and a later one may have succeeded. Between the last look and the renaming that cannot be
excluded where there was a file before, or with XRootD, whose servers replace files.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..transfer import urls
from ..transfer.errors import TransferError
from .checksum import adler32, same
from .records import GridOutput, Stored

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from ..transfer.facts import Facts


def put(one: GridOutput, path: Path, scratch: Path, made: Stored) -> None:
    """Store an output; see that it is there.

    Args:
        one: The output; its URL is its name.
        path: The file.
        scratch: Folder for a copy.
        made: Size and checksum of the file.

    Raises:
        TransferError: It cannot be done.
    """
    if _look(one, scratch, made) is _SAME:
        return
    folder, _, leaf = one.part.rpartition("/")
    try:
        urls.put(path, folder, leaf)
        if not _has(one.part, urls.facts(one.part), scratch, made):
            raise TransferError(f"{one.url} has other contents after the upload")
        found = _look(one, scratch, made)  # again: the upload may have taken hours
        if found is _SAME:
            _remove(one.part)
            return
        _rename(one, scratch, made, replace=found is _OLD)
    except TransferError:
        _remove(one.part)
        raise
    there = urls.facts(one.url)
    if there is None or not _fits(there, made):
        raise TransferError(f"{one.url}: {there} is there after the upload")


_NONE, _OLD, _SAME = "none", "old", "same"


def _look(one: GridOutput, scratch: Path, made: Stored) -> str:
    """Return what is in the place of the output: no file, the old one, or the same content.

    The old one is replaced by the same content as well: its time tells Snakemake that it is newer
    than the inputs.

    Raises:
        TransferError: It is another file.
    """
    found = urls.facts(one.url)
    if found is None:
        return _NONE
    if one.before and _is_old(found, *one.before.split(":")):
        return _OLD
    if _has(one.url, found, scratch, made):
        return _SAME
    raise TransferError("another job has written a file of this name since this job was sent")


def _is_old(found: Facts, size: str, checksum: str, mtime: str) -> bool:
    alike = not (checksum and found.adler32) or same(found.adler32, checksum)
    return alike and (found.size, found.mtime) == (int(size), int(mtime))


def _fits(found: Facts, made: Stored) -> bool:
    return found.size == made.size and found.adler32 in ("", made.adler32)


def _has(url: str, found: Facts | None, scratch: Path, made: Stored) -> bool:
    """Return whether a file has the content; it is read if its server tells no checksum."""
    if found is None or not _fits(found, made) or found.adler32:
        return found is not None and _fits(found, made)
    copy = scratch / "grid-copy"
    try:
        urls.get(url, copy)
        return adler32(copy) == made.adler32
    finally:
        copy.unlink(missing_ok=True)


def _rename(one: GridOutput, scratch: Path, made: Stored, *, replace: bool) -> None:
    try:
        urls.move(one.part, one.url, replace=replace)
    except TransferError:
        # The answer to the first try may have been lost, so that the second has failed.
        if _look(one, scratch, made) is not _SAME:
            raise


def _remove(url: str) -> None:
    with contextlib.suppress(TransferError):  # the submit host removes it, too
        urls.remove(url)
