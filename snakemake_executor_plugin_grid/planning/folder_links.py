"""Links to folders among the sources of a workflow.

No link is followed. It travels as a link if something travels below its target. If something is
named through the link, a link would be in the way of it on the worker: then copies of the sources
below the target travel under its name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..staging.paths import Layout, OutsideError, is_below
from ..staging.symlinks import names_below
from ..worker.archive.listing import Entry
from ..worker.tree import ancestry
from .folders import target_of


@dataclass(frozen=True)
class Copy:
    """A source that travels again, under the name of a link.

    Attributes:
        path: Its path through the link.
        limited: Whether the limits on size apply to it.
    """

    path: str
    limited: bool


@dataclass(frozen=True)
class _Link:
    entry: Entry
    target: str  # archive name of the folder that it leads to; empty if it can have none
    included: bool  # by --grid-include


class FolderLinks:
    """Collects links, until all other sources are known."""

    def __init__(self, layout: Layout, homes: Iterable[Path]) -> None:
        """Begin without links.

        Args:
            layout: Maps paths of the submit host to names in the archives.
            homes: Folders of the workflow.
        """
        self._layout = layout
        self._homes = [os.path.realpath(home) for home in homes]
        self._links: dict[str, _Link] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._links)

    def add(self, path: str, name: str) -> None:
        """Add a link.

        Args:
            path: Its absolute path.
            name: Its name in the archives.
        """
        target, member = target_of(path), ""
        if target is not None:
            try:
                member = self._layout.member(os.path.relpath(target, self._layout.workdir))
            except OutsideError:
                target = None
        shown = os.path.relpath(target, os.path.dirname(path)) if target else ""  # noqa: PTH120
        entry = Entry(name, path, "link", 0o777, 0, os.lstat(path).st_mtime_ns, shown)
        self._links.setdefault(name, _Link(entry, member, included=False))

    def add_included(self, entry: Entry) -> None:
        """Add a link to a folder below the same folder that ``--grid-include`` names."""
        target = os.path.normpath(f"{os.path.dirname(entry.name)}/{entry.target}")  # noqa: PTH120
        self._links[entry.name] = _Link(entry, target, included=True)

    def copies(self, sources: Mapping[str, Entry], others: Iterable[str]) -> Iterator[Copy]:
        """Drop the links that would be in the way; yield the sources to send again instead.

        Args:
            sources: What travels with every job, by archive name.
            others: Names of the inputs and products of jobs.
        """
        if not self._links:
            return
        names = sorted(sources)
        named = {*names, *others}
        named |= _folders_above(named)
        # All at once, as the caller may take only some of the copies.
        replaced = [self._links.pop(name) for name in list(self._links) if name in named]
        for link in replaced:
            # A folder that contains the link would be sent within itself.
            if link.target and not is_below(link.entry.name, link.target):
                here = self._layout.local(link.entry.name)
                for source in names_below([link.target], names):
                    path = f"{here}{source.removeprefix(link.target)}"
                    yield Copy(path, limited=not link.included)

    def travelling(self, sources: Mapping[str, Entry]) -> list[Entry]:
        """Return the links below whose targets something travels, and drop them."""
        if not self._links:
            return []
        folders = _folders_above(sources)
        found = [
            link.entry for link in self._links.values() if link.included or link.target in folders
        ]
        for entry in found:
            del self._links[entry.name]
        return found

    def leading_out(self) -> list[str]:
        """Return the paths of links that are left and lead out of the folders of the workflow."""
        return [
            link.entry.path
            for link in self._links.values()
            if not any(is_below(os.path.realpath(link.entry.path), home) for home in self._homes)
        ]


def _folders_above(names: Collection[str]) -> set[str]:
    folders = {name.rpartition("/")[0] for name in names}
    return {above for folder in folders for above in ancestry(folder)}
