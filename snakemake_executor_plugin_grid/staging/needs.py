"""Which files a job needs on the worker, sorted by the way in which they travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..model.errors import GridError
from ..model.job import JobSpec
from ..worker.archive.listing import Entry
from ..worker.description import Blob
from .paths import Layout, OutsideError
from .symlinks import Overlaps, scan_following, without_hidden

Key = tuple[str, int, int, int]
"""Name, size, time and mode: small inputs with the same key count as the same file."""

Scanned = dict[str, "list[Entry] | GridError"]
"""Entries by path on the submit host: jobs of a batch often need the same files."""


@dataclass(frozen=True)
class Common:
    """Files that many jobs get: the sources of the workflow, or those of ``--grid-include``.

    Attributes:
        entries: The files by archive name.
        blobs: What they are stored in.
        depth: How many levels above the working directory they reach.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    blobs: tuple[Blob, ...] = ()
    depth: int = 0

    @cached_property
    def overlaps(self) -> Overlaps:
        """Finds those that are in the way of inputs."""
        return Overlaps(self.entries)


@dataclass
class Needs:
    """The files of one job.

    Attributes:
        common: What it gets like many others.
        small: Other files to pack, by key.
        large: Other files to store one by one, by archive name.
        skip: Names in `common` that are in the way of an input, such as older versions of it.
        private: Keys of small files that no other job needs.
    """

    common: Common
    small: dict[Key, Entry] = field(default_factory=dict)
    large: dict[str, Entry] = field(default_factory=dict)
    skip: set[str] = field(default_factory=set)
    private: set[Key] = field(default_factory=set)


class NeedsFinder:
    """Finds what jobs need.

    Attributes:
        sources: The sources of the workflow, for jobs that run Snakemake.
        included: Files of ``--grid-include``, for decided jobs; they are among the sources, too.
    """

    def __init__(self, layout: Layout, large_file: int) -> None:
        """Know no files yet that many jobs get.

        Args:
            layout: Maps paths of the submit host to names in the archives.
            large_file: Files of this size in bytes, or more, travel alone.
        """
        self._layout = layout
        self._large_file = large_file
        self.sources = self.included = Common()

    def common(self, spec: JobSpec) -> Common:
        """Return what a job gets like many others."""
        return self.sources if spec.decision is None else self.included

    def of(self, spec: JobSpec, scanned: Scanned) -> Needs:
        """Return what a job needs.

        Args:
            spec: The job.
            scanned: What was found for other jobs of the batch; filled.

        Raises:
            GridError: A file does not exist or cannot be read.
        """
        found: list[tuple[str, Entry]] = []
        for path in spec.inputs:
            scanned[path] = scanned.get(path) or self._scan(path)
            found += [(path, entry) for entry in _unwrap(scanned[path])]
        for name, path in spec.files:
            scanned[name] = scanned.get(name) or _entries(Path(path), name, path)
            found += [(name, entry) for entry in _unwrap(scanned[name])]
        found = without_hidden(found)
        shared = spec.shared.union(name for name, _ in spec.files)
        common = self.common(spec)
        needs = Needs(common, skip=common.overlaps.of(entry for _, entry in found))
        for path, entry in found:
            if source := common.entries.get(entry.name):
                same = key_of(source) == key_of(entry) or entry.name in spec.marked_files
                if same or entry.kind == "dir":
                    continue
                needs.skip.add(entry.name)
            if entry.is_large(self._large_file):
                needs.large[entry.name] = entry
            else:
                needs.small[key_of(entry)] = entry
                if path not in shared:
                    needs.private.add(key_of(entry))
        return needs

    def _scan(self, path: str) -> list[Entry] | GridError:
        try:
            name = self._layout.member(path)
        except OutsideError:
            return []  # site data such as /cvmfs: the worker reports it if it is missing
        return _entries(self._layout.local(name), name, path)


def key_of(entry: Entry) -> Key:
    """Return the key of a small file."""
    return (entry.name, entry.size, entry.mtime_ns, entry.mode)


def _entries(file: Path, name: str, shown: str) -> list[Entry] | GridError:
    try:
        return list(scan_following(file, name))
    except FileNotFoundError:
        return GridError(f"input {shown} does not exist")
    except OSError as error:
        return GridError(f"input {error.filename or shown}: {error.strerror}")


def _unwrap(entries: Iterable[Entry] | GridError) -> Iterable[Entry]:
    if isinstance(entries, GridError):
        raise entries
    return entries
