"""Symbolic links in an input folder: links inside stay links, others become copies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..worker.archive.listing import Entry, scan


def scan_following(path: Path, name: str) -> Iterator[Entry]:
    """List a path and everything below it; a link that leads out is replaced by its target.

    Two kinds of links that lead out are left out: broken ones, and those to a folder that
    contains them.

    Args:
        path: File or folder to list.
        name: Its name in the archive.

    Raises:
        OSError: ``path`` does not exist, or something in it cannot be read.
    """
    return _follow(path, name, frozenset({os.path.realpath(path)}))


def _follow(top: Path, name: str, above: frozenset[str]) -> Iterator[Entry]:
    bases = (str(top), os.path.realpath(top))
    for entry in scan(top, name):
        if entry.kind != "link":
            yield entry
            continue
        folder, real = os.path.dirname(entry.path), os.path.realpath(entry.path)  # noqa: PTH120
        aim = os.path.normpath(os.path.join(folder, entry.target))  # noqa: PTH118
        base = next((base for base in bases if aim == base or aim.startswith(f"{base}/")), None)
        if base is not None:
            aim = bases[0] + aim[len(base) :]
            yield replace(entry, target=os.path.relpath(aim, folder))
        elif os.path.exists(real) and real not in above:  # noqa: PTH110
            yield from _follow(Path(real), entry.name, above | {real})
