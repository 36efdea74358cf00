"""Walks the folders of a workflow; links to other folders are found, but not followed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

SKIPPED = frozenset({".snakemake", ".git", ".hg", ".svn", "__pycache__", "node_modules"})
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


def walk(homes: Iterable[Path]) -> Iterator[tuple[str, bool]]:
    """Yield what is in folders, without what belongs to tools and environments.

    Args:
        homes: The folders; one may lie in another one.

    Yields:
        The path of a file or of a link, and whether it is a link to a folder.
    """
    everything = list(dict.fromkeys(homes))
    for home in everything:
        if not any(home != other and _reaches(other, home) for other in everything):
            yield from _walk(home)


def _reaches(home: Path, other: Path) -> bool:
    """Return whether a walk through a folder comes to another one."""
    if not other.is_relative_to(home):
        return False
    real = os.path.join(os.path.realpath(home), other.relative_to(home))  # noqa: PTH118
    return real == os.path.realpath(other)


def _walk(home: Path) -> Iterator[tuple[str, bool]]:
    for folder, folders, files in os.walk(home):
        if any(mark in files or mark in folders for mark in ENVIRONMENT_MARKS):
            folders.clear()
            continue
        # Hidden files are settings of this machine and may hold secrets (.env, .netrc).
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and not name.startswith(".")
        )
        for name in sorted(files):
            if not name.endswith((".pyc", "~")) and not name.startswith("."):
                yield f"{folder}/{name}", False
        for name in folders:
            if os.path.islink(f"{folder}/{name}"):  # noqa: PTH114 - os.walk does not follow it
                yield f"{folder}/{name}", True


def is_folder_link(path: str) -> bool:
    """Return whether a path is a link to a folder."""
    return os.path.islink(path) and os.path.isdir(path)  # noqa: PTH112, PTH114


def target_of(link: str) -> str | None:
    """Return where a link leads, as a path in which ``..`` and links do not matter.

    It begins like the path of the link, which may lead through a link itself; None if no such path
    leads there.
    """
    folder, real = os.path.dirname(link), os.path.realpath(link)  # noqa: PTH120
    path = os.path.normpath(f"{folder}/{os.path.relpath(real, os.path.realpath(folder))}")
    return path if os.path.realpath(path) == real else None


def tracked_by_git(folder: str, workdir: Path) -> list[str]:
    """Return the paths of the files below a folder that the repository of a workflow tracks."""
    command = ["git", "ls-files", "-z", "--recurse-submodules", "--", folder]
    try:
        found = subprocess.run(command, cwd=workdir, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []  # there is no git, or the folder is not in the repository
    names = filter(None, os.fsdecode(found).split("\0"))
    return [os.path.normpath(f"{workdir}/{name}") for name in names]
