"""Walks the folders of a workflow, also through links to other folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..staging.paths import is_below

SKIPPED = frozenset({".snakemake", ".git", ".hg", ".svn", "__pycache__", "node_modules"})
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_MOST_BEHIND_A_LINK = 10_000


@dataclass(frozen=True)
class Found:
    """A file in a folder of the workflow.

    Attributes:
        path: Absolute path.
        linked: Whether it was reached through a link to a folder.
    """

    path: str
    linked: bool = False


class Folders:
    """The folders of a workflow: of its Snakefiles, and the working directory."""

    def __init__(self, homes: Iterable[Path], warn: Callable[[str], None]) -> None:
        """Store the folders.

        Args:
            homes: The folders; one may lie in another one.
            warn: Takes a message for the user.
        """
        everything = list(dict.fromkeys(homes))
        self._homes = [
            str(home)
            for home in everything
            if not any(home != other and home.is_relative_to(other) for other in everything)
        ]
        self._real = [os.path.realpath(home) for home in self._homes]
        self._warn = warn
        self._warned: set[str] = set()

    def files(self) -> Iterator[Found]:
        """Yield all files, without those of tools and of environments."""
        for home, real in zip(self._homes, self._real, strict=True):
            for path, linked in self._walk(home, real, ()):
                yield Found(path, linked)

    def behind(self, link: str) -> Iterator[Found]:
        """Yield the files in a folder that is a link."""
        folder = os.path.realpath(os.path.dirname(link))  # noqa: PTH120
        for path, _ in self._follow(link, (folder,)):
            yield Found(path, linked=True)

    def _walk(self, top: str, real: str, above: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
        """Yield path and whether a link leads there.

        Args:
            top: Where to start.
            real: Its path without links.
            above: Folders without links from which links have led here.
        """
        for folder, folders, files in os.walk(top):
            if any(mark in files or mark in folders for mark in _ENVIRONMENT_MARKS):
                folders.clear()
                continue
            # Hidden files are settings of this machine and may hold secrets (.env, .netrc).
            names = sorted(
                name for name in folders if name not in SKIPPED and not name.startswith(".")
            )
            folders[:] = [name for name in names if not os.path.islink(f"{folder}/{name}")]  # noqa: PTH114
            for name in sorted(files):
                if not name.endswith((".pyc", "~")) and not name.startswith("."):
                    yield f"{folder}/{name}", bool(above)
            here = real + folder[len(top) :]
            for name in names:
                if name not in folders:
                    yield from self._follow(f"{folder}/{name}", (*above, here))

    def _follow(self, link: str, above: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
        real = os.path.realpath(link)
        if any(is_below(folder, real) for folder in above):
            return  # a folder that contains the link would never end
        if SKIPPED.intersection(real.split("/")):
            return
        files = self._walk(link, real, above)
        if any(is_below(real, home) for home in self._real):
            yield from files
            return
        # A link to a data set is not worth a walk of hours.
        some = list(islice(files, _MOST_BEHIND_A_LINK + 1))
        if len(some) <= _MOST_BEHIND_A_LINK:
            yield from some
        elif link not in self._warned:
            self._warned.add(link)
            self._warn(
                f"folder {link} is a link to {real}, which holds more than "
                f"{_MOST_BEHIND_A_LINK:,} files: they are not sent with every job; use "
                "--grid-include for those that jobs need"
            )
