"""Which files beside the workflow travel with every job: Snakefiles, scripts, sample sheets."""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ..model.errors import GridError
from ..staging.paths import Layout, OutsideError
from ..staging.symlinks import scan_following
from ..worker.archive.tarball import Entry, scan
from ..worker.tree import below

_MOST_VISITED = 50_000
_OWN_PAGE = "grid-report.html"  # of ``snakemake-grid report``
_SKIPPED_FOLDERS = {".snakemake", ".git", ".hg", ".svn", "__pycache__", "node_modules"}
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


@dataclass(frozen=True)
class Origin:
    """What Snakemake knows of the workflow's files.

    Attributes:
        declared: Paths that Snakemake lists: included files, script folders, files under git.
        parsed: Absolute paths that were read while parsing, or that rules name as their scripts,
            each with whether it was given as a relative path.
        folders: Local folders of the included Snakefiles.
        products: Names of all outputs, logs and benchmarks of the workflow's jobs.
        inputs: Names of all inputs of the workflow's jobs.
    """

    declared: frozenset[str]
    parsed: dict[str, bool]
    folders: tuple[Path, ...]
    products: set[str]
    inputs: set[str]


@dataclass
class Sources:
    """The files that travel, and those that do not.

    Attributes:
        entries: By name.
        left_out: Path and size in bytes of files that were found but are too large.
        warnings: For the user.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    left_out: list[tuple[str, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """What the user says of sources.

    Attributes:
        include: Globs of files that travel whatever their size.
        exclude: Globs of files that do not.
        file_limit: Bytes from which on a file is taken for data.
        total_limit: Bytes that the files found beside the workflow may have together.
        secrets: Real paths of files that hold credentials, which never travel.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    file_limit: int
    total_limit: int
    secrets: frozenset[str] = frozenset()


def collect(layout: Layout, origin: Origin, rules: Rules) -> Sources:
    """Find the sources of a workflow.

    Raises:
        GridError: A glob of the user matches nothing, or climbs out of the working directory.
    """
    sources = Sources()
    collector = _Collector(layout, origin, rules, sources)
    collector.take_parsed()
    collector.take_included_by_user()
    collector.take_found(_found(layout, origin, sources))
    return sources


class _Collector:
    def __init__(self, layout: Layout, origin: Origin, rules: Rules, sources: Sources) -> None:
        self._layout = layout
        self._origin = origin
        self._rules = rules
        self._sources = sources
        self._homes = (layout.workdir, *origin.folders)
        # A script or config file that some rule names as input too is a source all the same.
        self._listed = set(_listed(layout, origin))

    def take_parsed(self) -> None:
        """Take what parsing read: without it no worker can parse the workflow."""
        for path, relative in (*self._origin.parsed.items(), *_local_modules(self._homes)):
            here = any(Path(path).is_relative_to(home) for home in self._homes)
            if (here or relative) and not _SKIPPED_FOLDERS.intersection(Path(path).parts):
                self._take(path, bound=False)

    def take_included_by_user(self) -> None:
        for glob in self._rules.include:
            try:
                found = sorted(self._layout.workdir.glob(glob))
            except (NotImplementedError, ValueError) as error:
                raise GridError(
                    f"--grid-include {glob}: has to be relative to the working directory"
                ) from error
            if not found:
                raise GridError(
                    f"--grid-include {glob}: matches nothing below {self._layout.workdir}"
                )
            # Snakemake's own folder is not meant by "*".
            skipped = _SKIPPED_FOLDERS.difference(glob.split("/"))
            for path in found:
                try:
                    entries = list(scan_following(path, self._layout.member(str(path))))
                except OSError as error:
                    where = error.filename or path
                    raise GridError(f"--grid-include {glob}: {where}: {error.strerror}") from error
                for entry in entries:
                    if not skipped.intersection(entry.name.split("/")) and not self._is_excluded(
                        entry.path
                    ):
                        self._add(entry)

    def take_found(self, paths: Iterable[str]) -> None:
        small = [entry for path in paths if (entry := self._take(path, bound=True)) is not None]
        total = sum(entry.size for entry in small)
        # The largest are the likeliest to be data.
        for entry in sorted(small, key=lambda entry: -entry.size):
            if total <= self._rules.total_limit:
                break
            total -= entry.size
            del self._sources.entries[entry.name]
            self._sources.left_out.append((self._shown(entry.path), entry.size))

    def _take(self, path: str, *, bound: bool) -> Entry | None:
        """Take one file; return it when it was new and counts towards the limit."""
        try:
            name = self._layout.member(os.path.relpath(path, self._layout.workdir))
        except OutsideError:
            return None
        if name in self._sources.entries or below(name, self._origin.products):
            return None
        is_input = bound and name in self._origin.inputs  # travels with the jobs that name it
        if is_input and path not in self._listed:
            return None
        shown = self._shown(path)
        if self._is_excluded(path):
            return None
        entry = next(iter(scan(Path(path), name)), None) if os.path.isfile(path) else None  # noqa: PTH113
        if entry is None:
            return None
        if bound and entry.size >= self._rules.file_limit:
            if not is_input:
                self._sources.left_out.append((shown, entry.size))
            return None
        if bound and not os.access(path, os.R_OK):
            self._sources.warnings.append(f"{shown} cannot be read: jobs will not have it")
            return None
        self._add(entry)
        return entry if bound else None

    def _add(self, entry: Entry) -> None:
        self._sources.entries.setdefault(entry.name, entry)

    def _is_excluded(self, path: str) -> bool:
        if self._rules.secrets and os.path.realpath(path) in self._rules.secrets:
            return True
        shown = self._shown(path)
        return any(fnmatch.fnmatch(shown, glob) for glob in (_OWN_PAGE, *self._rules.exclude))

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self._layout.workdir)


def _found(layout: Layout, origin: Origin, sources: Sources) -> Iterator[str]:
    """Yield what Snakemake lists, and what lies in the folders of the workflow."""
    yield from _listed(layout, origin)
    homes = [layout.workdir, *origin.folders]
    outer = [
        home
        for home in dict.fromkeys(homes)
        if not any(home != other and home.is_relative_to(other) for other in homes)
    ]
    for visited, path in enumerate(chain.from_iterable(map(_walk, outer))):
        if visited >= _MOST_VISITED:
            sources.warnings.append(
                f"looked at the first {_MOST_VISITED} files beside the workflow only; name further "
                "files that jobs need by --grid-include"
            )
            return
        yield path


def _listed(layout: Layout, origin: Origin) -> Iterator[str]:
    for path in sorted(origin.declared):
        if not _SKIPPED_FOLDERS.intersection(path.split("/")):
            yield os.path.join(layout.workdir, path)  # noqa: PTH118


def _walk(home: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(home):
        if any(mark in files or mark in folders for mark in _ENVIRONMENT_MARKS):
            folders.clear()
            continue
        # Hidden ones are settings of this machine, and may hold secrets (.env, .netrc).
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED_FOLDERS and not name.startswith(".")
        )
        for name in sorted(files):
            if not name.endswith((".pyc", "~")) and not name.startswith("."):
                yield f"{folder}/{name}"


def _local_modules(homes: tuple[Path, ...]) -> Iterator[tuple[str, bool]]:
    """Yield modules imported from beside the workflow: a cached one is never opened as source."""
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or "site-packages" in path or module.__name__ == "__main__":
            continue
        path = os.path.normpath(path)
        if any(Path(path).is_relative_to(home) for home in homes) and not path.startswith(
            sys.prefix + os.sep
        ):
            yield path, False
