"""Placeholders: files without contents for what the workflow listed when it was parsed.

The worker parses it again, and a listing has to give the same names, sizes and times. A job must
not take a placeholder for a file: Snakemake removes them after it has parsed the workflow, before
it runs the job (``snakemake_api/comparison/placeholders.py``), and until then nobody may read them.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import time
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .archive.files import NEW
from .archive.member import TarballError, check_name
from .tree import Tree, below

_TOO_LARGE = (errno.EFBIG, errno.EINVAL)  # for this file system, or a limit of the site


def make_placeholders(listing: Path, tree: Tree, kept: Collection[str]) -> None:
    """Make the placeholders of a listing where there is nothing, and note them in the tree.

    Args:
        listing: Compressed JSON: by the archive name of a folder, the leaf, size in bytes and time
            in ns of its files.
        tree: Has the inputs already.
        kept: Names of outputs, and of folders that are complete; nothing is made below them.

    Raises:
        TarballError: The listing is damaged.
        OSError: The disk is full, and the like.
    """
    now = time.time_ns()
    for name, files in _read(listing).items():
        check_name(name)
        root = name.partition("/")[0]
        if root not in tree.roots or below(name, kept):
            continue
        folder = tree.path(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue  # an input is a file now
        if os.path.realpath(folder) != str(folder):
            continue  # behind a link of the inputs
        for leaf, size, mtime_ns in files:
            member = f"{name}/{leaf}"
            check_name(member)
            if member not in kept:
                _make(f"{folder}/{leaf}", member, int(size), min(int(mtime_ns), now), tree)


def _make(path: str, name: str, size: int, mtime_ns: int, tree: Tree) -> None:
    try:
        fd = os.open(path, NEW, 0)
    except FileExistsError:
        return
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        if error.errno not in _TOO_LARGE:
            raise
    finally:
        os.close(fd)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    tree.placeholders[name] = (size, mtime_ns)


def left_placeholders(tree: Tree) -> set[str]:
    """Return the names of placeholders that are still there, as Snakemake did not get far."""
    found = set()
    for name, made in tree.placeholders.items():
        with contextlib.suppress(OSError):
            status = os.lstat(tree.path(name))
            if (status.st_size, status.st_mtime_ns) == made:
                found.add(name)
    return found


def _read(listing: Path) -> dict[str, Any]:
    try:
        found = json.loads(gzip.decompress(listing.read_bytes()))
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise TarballError(f"{listing}: the listing is damaged: {error}") from error
    if not isinstance(found, dict):
        raise TarballError(f"{listing}: the listing is damaged")
    return found
