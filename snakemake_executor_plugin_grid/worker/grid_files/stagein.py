"""Fetches the job's inputs from the grid, and checks size and checksum of each."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from ..description import OWN_FILES, InputDamagedError
from ..transfer import urls
from ..transfer.errors import TransferError
from ..tree import Tree
from . import dirac
from .checksum import adler32, same
from .records import GridInput

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence

_DIRAC = "lfn"
_FOLDER = "grid-inputs"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def fetch(inputs: Sequence[GridInput], sandbox: Path, scratch: Path, tree: Tree) -> int:
    """Fetch all inputs.

    Args:
        inputs: What to fetch.
        sandbox: Where DIRAC's job wrapper has put what it downloaded, under its basename.
        scratch: Folder for downloads.
        tree: Gets the files.

    Returns:
        The bytes fetched.

    Raises:
        InputDamagedError: One cannot be fetched from anywhere, or is damaged everywhere.
        OSError: The disk is full.
    """
    folder = scratch / _FOLDER
    folder.mkdir()
    problems: dict[str, list[str]] = {one.query: [] for one in inputs}
    left = []
    for number, one in enumerate(inputs):
        brought = sandbox / _leaf(one)
        if not one.size:  # a catalog may have such an entry, but no storage element has a file
            brought = folder / f"empty{number}"
            brought.write_bytes(b"")
        elif not _lfn(one) or _leaf(one) in OWN_FILES:  # only DIRAC brings files there
            brought = folder / "none"
        if not _take(one, brought, tree, problems):
            left.append(one)
    _from_dirac([one for one in left if _lfn(one)], scratch, folder, tree, problems)
    for number, one in enumerate(left):
        if not tree.path(one.name).exists():
            _from_urls(one, folder / f"url{number}", tree, problems)
    return sum(one.size for one in inputs)


def _from_dirac(
    inputs: Sequence[GridInput],
    scratch: Path,
    folder: Path,
    tree: Tree,
    problems: dict[str, list[str]],
) -> None:
    """Fetch files by DIRAC's tools in one call, into folders of their own: names may be equal."""
    folders = {}
    for number, one in enumerate(inputs):
        folders[one.name] = folder / f"lfn{number}"
        folders[one.name].mkdir()
    if not inputs:
        return
    wanted = [{"lfn": _lfn(one), "folder": str(folders[one.name])} for one in inputs]
    try:
        answers = dirac.move(scratch, get=wanted)
    except dirac.NoDiracError as error:
        answers = dict.fromkeys(map(_lfn, inputs), str(error))
    for one in inputs:
        if answers.get(_lfn(one), "no answer"):
            problems[one.query].append(answers.get(_lfn(one), "no answer"))
        else:
            _take(one, folders[one.name] / _leaf(one), tree, problems)


def _from_urls(one: GridInput, target: Path, tree: Tree, problems: dict[str, list[str]]) -> None:
    for url in one.urls:
        if urls.scheme_of(url) == _DIRAC:
            continue
        try:
            urls.get(url, target)
        except TransferError as error:
            problems[one.query].append(str(error))
            continue
        if _take(one, target, tree, problems):
            return
    if _is_full(target.parent, one, problems[one.query]):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), one.query)
    why = "; ".join(problems[one.query]) or "no replica can be read from here"
    raise InputDamagedError(f"input missing: {one.query} could not be fetched: {why}")


def _is_full(folder: Path, one: GridInput, problems: Sequence[str]) -> bool:
    """Return whether a file could not be fetched because it has no room on the disk."""
    if any(os.strerror(number) in text for number in _FULL for text in problems):
        return True
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < one.size


def _take(one: GridInput, path: Path, tree: Tree, problems: dict[str, list[str]]) -> bool:
    """Move a downloaded file into the tree if it is whole; return whether it is."""
    if not path.is_file():
        return False
    size = path.stat().st_size
    if size != one.size:
        problems[one.query].append(f"a copy has {size} bytes, and not {one.size}")
    elif one.adler32 and not same(found := adler32(path), one.adler32):
        problems[one.query].append(f"a copy has the Adler-32 {found}, and not {one.adler32}")
    else:
        target = tree.path(one.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
        target.chmod(0o644)
        # An input from the future would be newer than what is made of it.
        moment = min(one.mtime_ns, time.time_ns())
        os.utime(target, ns=(moment, moment))
        return True
    path.unlink()
    return False


def _lfn(one: GridInput) -> str:
    """Return the LFN of an input, empty if DIRAC does not have it."""
    return next((url.partition(":")[2] for url in one.urls if url.startswith(f"{_DIRAC}:")), "")


def _leaf(one: GridInput) -> str:
    return _lfn(one).rpartition("/")[2]
