"""The sources of a workflow: files that go to the worker with every job.

These are the Snakefiles, scripts, configuration files and sample sheets: what Snakemake read when
it parsed the workflow, what ``--grid-include`` names, and small files found in its folders.
"""

from __future__ import annotations

import fnmatch
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from ..console.format import listed
from ..model.errors import GridError
from ..settings.options import ExecutorSettings
from ..staging.paths import Layout, OutsideError, is_below
from ..staging.secret_files import secret_files
from ..staging.symlinks import scan_following
from ..worker.archive.listing import Entry, scan
from ..worker.tree import below
from .folder_links import FolderLinks
from .folders import SKIPPED, is_folder_link, target_of, tracked_by_git, walk

_MOST_FOUND = 50_000
_REPORT_FILE = "grid-report.html"  # written by ``snakemake-grid report``


@dataclass(frozen=True)
class WorkflowFiles:
    """What Snakemake knows about the workflow's files.

    Attributes:
        declared: Paths that Snakemake lists: included files, script folders, files under git.
        parsed: Absolute paths of files that parsing read and of the scripts of rules; the value
            tells whether the workflow named the file by a relative path.
        folders: Local folders of the included Snakefiles.
        products: Archive names of all outputs, logs and benchmarks of the workflow's jobs.
        inputs: Archive names of all inputs of the workflow's jobs.
    """

    declared: frozenset[str]
    parsed: dict[str, bool]
    folders: tuple[Path, ...]
    products: set[str]
    inputs: set[str]


@dataclass
class Sources:
    """The sources that were found.

    Attributes:
        entries: Files to send, by archive name.
        left_out: Path and size in bytes of files that were found but are too large.
        warnings: Messages for the user.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    left_out: list[tuple[str, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Filters:
    """The user's options about sources.

    Attributes:
        include: Globs of files to send regardless of their size.
        exclude: Globs of files not to send.
        file_limit: Size in bytes; a found file of this size or more counts as data.
        total_limit: Limit in bytes for the total size of the files that were found.
        secrets: Real paths of files that hold credentials; they are never sent.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    file_limit: int
    total_limit: int
    secrets: frozenset[str] = frozenset()

    def excludes(self, path: str, shown: str) -> bool:
        """Return whether a file must not be sent.

        Args:
            path: Absolute path.
            shown: Path relative to the working directory.
        """
        if self.secrets and os.path.realpath(path) in self.secrets:
            return True
        return any(fnmatch.fnmatch(shown, glob) for glob in (_REPORT_FILE, *self.exclude))


def filters_of(settings: ExecutorSettings) -> Filters:
    """Return the filters that the options of a run set."""
    return Filters(
        include=tuple(settings.include),
        exclude=tuple(settings.exclude),
        file_limit=settings.source_file_limit,
        total_limit=settings.source_limit,
        secrets=secret_files(os.environ, settings.store_token),
    )


def collect(layout: Layout, files: WorkflowFiles, filters: Filters) -> Sources:
    """Find the sources of a workflow.

    Raises:
        GridError: A glob of ``--grid-include`` matches nothing, is not relative to the working
            directory, or matches something that cannot be read.
    """
    sources = Sources()
    collector = _Collector(layout, files, filters, sources)
    collector.add_parsed()
    collector.add_included()
    collector.add_found()
    return sources


def collect_included(layout: Layout, filters: Filters) -> Sources:
    """Find what ``--grid-include`` names.

    Raises:
        GridError: As of `collect`.
    """
    sources = Sources()
    files = WorkflowFiles(frozenset(), {}, (), set(), set())
    collector = _Collector(layout, files, filters, sources)
    collector.add_included()
    collector.add_links()
    return sources


class _Collector:
    def __init__(
        self, layout: Layout, files: WorkflowFiles, filters: Filters, sources: Sources
    ) -> None:
        self._layout = layout
        self._files = files
        self._filters = filters
        self._sources = sources
        self._homes = (layout.workdir, *files.folders)
        self._links = FolderLinks(layout, self._homes)
        # A script or configuration file is a source even if a rule names it as an input.
        self._listed = set(_listed(layout, files))

    def add_parsed(self) -> None:
        """Add what parsing read; a worker cannot parse the workflow without it."""
        for path, relative in (*self._files.parsed.items(), *_local_modules(self._homes)):
            inside = any(Path(path).is_relative_to(home) for home in self._homes)
            if (inside or relative) and not SKIPPED.intersection(Path(path).parts):
                self._add_file(path, limited=False)

    def add_included(self) -> None:
        for glob in self._filters.include:
            try:
                found = sorted(self._layout.workdir.glob(glob))
            except (NotImplementedError, ValueError) as error:
                raise GridError(
                    f"--grid-include {glob}: must be relative to the working directory"
                ) from error
            if not found:
                raise GridError(
                    f"--grid-include {glob}: matches nothing below {self._layout.workdir}"
                )
            # "*" does not mean Snakemake's own folder.
            skipped = SKIPPED.difference(glob.split("/"))
            for path in found:
                try:
                    entries = list(scan_following(path, self._layout.member(str(path))))
                except OSError as error:
                    where = error.filename or path
                    raise GridError(f"--grid-include {glob}: {where}: {error.strerror}") from error
                for entry in entries:
                    if skipped.intersection(entry.name.split("/")) or self._is_excluded(entry.path):
                        continue
                    if entry.kind == "link" and is_folder_link(entry.path):
                        self._links.add_included(entry)
                    else:
                        self._add(entry)

    def add_found(self) -> None:
        """Add what Snakemake lists, and small files in the folders of the workflow."""
        small = [
            entry
            for path in self._find_listed()
            if (entry := self._add_file(path, limited=True)) is not None
        ]
        most = len(small) + len(self._links) + _MOST_FOUND
        for path, is_link in walk(self._homes):
            if is_link:
                self._note_link(path)
            elif (entry := self._add_file(path, limited=True)) is not None:
                small.append(entry)  # an input or a product is none: there may be millions
            if len(small) + len(self._links) >= most:
                self._warn_of_many()
                break
        self._leave_out(small, self._add_copies())
        self.add_links()

    def add_links(self) -> None:
        """Add the links to folders that may travel; warn of the others."""
        for entry in self._links.travelling(self._sources.entries):
            self._add(entry)
        if out := list(map(self._shown, self._links.leading_out())):
            self._sources.warnings.append(
                f"not sent with every job: what is behind links that lead out of the folders of "
                f"the workflow ({listed(out)}). Name those that jobs need by --grid-include, "
                "the others by --grid-exclude"
            )

    def _find_listed(self) -> Iterator[str]:
        workdir = self._layout.workdir
        for path in _listed(self._layout, self._files):
            if not is_folder_link(path):
                yield path
            elif self._note_link(path):
                # Git tracks the link; Snakemake lists only what it tracks in this directory.
                target = target_of(path) or str(workdir)
                if not is_below(target, str(workdir)) and not is_below(str(workdir), target):
                    yield from islice(tracked_by_git(target, workdir), _MOST_FOUND)

    def _add_copies(self) -> list[Entry]:
        """Add sources under the names of links; return those that count towards the total limit."""
        found = []
        others = chain(self._files.inputs, self._files.products)
        for number, copy in enumerate(self._links.copies(self._sources.entries, others)):
            if number >= _MOST_FOUND:
                self._warn_of_many()
                break
            if (entry := self._add_file(copy.path, limited=copy.limited)) is not None:
                found.append(entry)
        return found

    def _note_link(self, path: str) -> bool:
        """Keep a link to a folder for later; return whether it may travel."""
        name = self._name(path)
        if (
            name is None
            or below(name, self._files.products)
            or (name in self._files.inputs and path not in self._listed)
            or self._is_excluded(path)
        ):
            return False
        self._links.add(path, name)
        return True

    def _leave_out(self, small: list[Entry], copies: list[Entry]) -> None:
        """Keep to the total limit: drop copies first, then the largest files."""
        total = sum(entry.size for entry in (*small, *copies))
        for entry in (*_largest_first(copies), *_largest_first(small)):
            if total <= self._filters.total_limit:
                break
            total -= entry.size
            del self._sources.entries[entry.name]
            self._sources.left_out.append((self._shown(entry.path), entry.size))

    def _warn_of_many(self) -> None:
        self._sources.warnings.append(
            f"only the first {_MOST_FOUND:,} small files in the folders of the workflow "
            "are sent with every job; use --grid-include for other files that jobs need"
        )

    def _add_file(self, path: str, *, limited: bool) -> Entry | None:
        """Add a file; return its entry if it is new and counts towards the total limit.

        Args:
            path: Absolute path.
            limited: Whether the limits on size apply to it.
        """
        name = self._name(path)
        if name is None or name in self._sources.entries or below(name, self._files.products):
            return None
        is_input = limited and name in self._files.inputs  # sent to the jobs that name it
        if is_input and path not in self._listed:
            return None
        shown = self._shown(path)
        if self._is_excluded(path):
            return None
        try:
            entry = next(iter(scan(Path(path), name)), None) if os.path.isfile(path) else None  # noqa: PTH113
        except FileNotFoundError:  # it has vanished
            entry = None
        if entry is None:
            return None
        if limited and entry.size >= self._filters.file_limit:
            if not is_input:
                self._sources.left_out.append((shown, entry.size))
            return None
        if limited and not os.access(path, os.R_OK):
            self._sources.warnings.append(f"{shown} cannot be read; jobs will not have it")
            return None
        self._add(entry)
        return entry if limited else None

    def _name(self, path: str) -> str | None:
        """Return the archive name of an absolute path, None if it has none."""
        try:
            return self._layout.member(os.path.relpath(path, self._layout.workdir))
        except OutsideError:
            return None

    def _add(self, entry: Entry) -> None:
        self._sources.entries.setdefault(entry.name, entry)

    def _is_excluded(self, path: str) -> bool:
        return self._filters.excludes(path, self._shown(path))

    def _shown(self, path: str) -> str:
        return os.path.relpath(path, self._layout.workdir)


def _largest_first(entries: list[Entry]) -> list[Entry]:
    """Return files in the order in which they are likely to be data."""
    return sorted(entries, key=lambda entry: -entry.size)


def _listed(layout: Layout, files: WorkflowFiles) -> Iterator[str]:
    for path in sorted(files.declared):
        if not SKIPPED.intersection(path.split("/")):
            yield os.path.join(layout.workdir, path)  # noqa: PTH118


def _local_modules(homes: tuple[Path, ...]) -> Iterator[tuple[str, bool]]:
    """Yield the files of modules imported from the folders of the workflow.

    Python may load a module from its cached bytecode, so parsing does not always read its source.
    """
    for module in tuple(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or "site-packages" in path or module.__name__ == "__main__":
            continue
        path = os.path.normpath(path)
        if any(Path(path).is_relative_to(home) for home in homes) and not path.startswith(
            sys.prefix + os.sep
        ):
            yield path, False
