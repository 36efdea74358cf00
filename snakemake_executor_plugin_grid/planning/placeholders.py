"""What the workflow listed when it was parsed, for which workers get placeholders."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..model.errors import GridError
from ..staging.paths import Layout, OutsideError, depth
from ..worker.archive.listing import Entry
from .folders import ENVIRONMENT_MARKS, SKIPPED

MOST = 50_000
"""Files and folders that are listed for the workers of a run."""


@dataclass
class Listing:
    """Folders that were listed, with their files.

    Attributes:
        folders: By archive name of a folder: leaf, size in bytes and time in ns of its files.
        warning: Message for the user; empty if nothing is left out.
    """

    folders: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)
    warning: str = ""


def collect(
    layout: Layout, listed: Mapping[str, bool], homes: Iterable[Path], sources: Collection[str]
) -> Listing:
    """List the folders again.

    Args:
        layout: Of the submit host.
        listed: Absolute paths of folders; the value tells whether the workflow named the folder by
            a relative path.
        homes: Folders of the workflow.
        sources: Archive names of files that every job gets.
    """
    listing, count = Listing(), 0
    homes = (layout.workdir, *homes)
    environments: list[Path] = []
    for path in sorted(map(Path, listed)):
        inside = any(path.is_relative_to(home) for home in homes)
        if not (inside or listed[str(path)]) or SKIPPED.intersection(path.parts):
            continue
        if any(path.is_relative_to(environment) for environment in environments):
            continue
        if any((path / mark).exists() for mark in ENVIRONMENT_MARKS):
            environments.append(path)
            continue
        try:
            name = layout.member(os.path.relpath(path, layout.workdir))
            with os.scandir(path) as items:
                entries = sorted(items, key=lambda item: item.name)
        except (OutsideError, OSError):
            continue  # it is gone, or site data
        files = listing.folders.setdefault(name, [])
        for entry in entries:
            if entry.name in SKIPPED:
                continue
            if count >= MOST:
                listing.warning = (
                    f"the workflow lists more than {MOST:,} files when it is parsed; workers see "
                    "only the first of them. Take names of samples from a table instead"
                )
                return listing
            count += _add(entry, f"{name}/{entry.name}", files, listing, sources)
    return listing


def _add(
    entry: os.DirEntry[str],
    name: str,
    files: list[tuple[str, int, int]],
    listing: Listing,
    sources: Collection[str],
) -> bool:
    try:
        if entry.is_dir():
            listing.folders.setdefault(name, [])
        elif entry.is_file() and name not in sources:
            status = entry.stat()
            files.append((entry.name, status.st_size, status.st_mtime_ns))
        else:
            return False
    except OSError:
        return False  # it is gone
    return True


def write_listing(listing: Listing, folder: Path) -> Entry | None:
    """Write a listing for the workers; the same listing gives the same bytes.

    Args:
        listing: What was listed.
        folder: Gets the file; only the user can read it.

    Returns:
        The file, in the outermost folder that the listing reaches; None if nothing was listed.

    Raises:
        GridError: It cannot be written.
    """
    if not listing.folders:
        return None
    text = json.dumps(listing.folders, sort_keys=True, separators=(",", ":"))
    data = gzip.compress(text.encode(), mtime=0)
    path = folder / hashlib.sha256(data).hexdigest()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(data)
        status = path.stat()
    except OSError as error:
        raise GridError(f"{path}: {error.strerror}") from error
    climbs = depth(listing.folders)
    top = f"up{climbs}" if climbs else "work"
    name = f"{top}/names of listed files"
    return Entry(name, str(path), "file", 0o600, status.st_size, status.st_mtime_ns)
