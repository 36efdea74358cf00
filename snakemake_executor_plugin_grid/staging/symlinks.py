"""Symbolic links among inputs: links inside an input folder stay links, others become copies.

Nothing may be unpacked below a link: what would be is not sent.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..worker.archive.listing import Entry, scan
from ..worker.tree import ancestry, below


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


def names_below(folders: Iterable[str], names: Sequence[str]) -> Iterator[str]:
    """Yield the names below some folders.

    Args:
        folders: Archive names.
        names: Archive names in order.
    """
    for folder in folders:
        start = f"{folder}/"
        for index in range(bisect_left(names, start), len(names)):
            if not names[index].startswith(start):
                break
            yield names[index]


def without_hidden(inputs: list[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
    """Leave out the inputs of a job that it also reaches through a link among its inputs.

    Args:
        inputs: Pairs of an input's path and an entry of it.
    """
    links = _links(entry for _, entry in inputs)
    if not links:
        return inputs
    return [
        (path, entry)
        for path, entry in inputs
        if not below(_folder(entry.name), links)
        and (entry.kind == "link" or entry.name not in links)
    ]


class Overlaps:
    """Finds the sources of a workflow that cannot be in one tree with the inputs of a job."""

    def __init__(self, sources: Mapping[str, Entry]) -> None:
        """Store the sources, by archive name."""
        self._names = sorted(sources)
        self._links = _links(sources.values())

    def of(self, inputs: Iterable[Entry]) -> set[str]:
        """Return the names of sources below links of inputs, and of links above inputs."""
        inputs = list(inputs)
        found = set(names_below(_links(inputs), self._names))
        if self._links:
            folders = {_folder(entry.name) for entry in inputs}
            folders.update(entry.name for entry in inputs if entry.kind == "dir")
            found.update(*(self._links.intersection(ancestry(folder)) for folder in folders))
        return found


def _links(entries: Iterable[Entry]) -> set[str]:
    return {entry.name for entry in entries if entry.kind == "link"}


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
