"""Files that a command names and no rule declares, such as ``python tools/x.py``."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from typing import Any

from ...worker.description import WORKDIR
from .marking import WORD
from .paths import Paths

_LARGEST = 1 << 20
_MOST_FILES = 200
_MOST_BYTES = 16 << 20
_LONGEST = 1000
_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"")
_ENDS = ":,;"

Found = dict[str, str]


class Mentioned:
    """Finds such files; what a word means is looked up once for all jobs."""

    def __init__(self, workdir: str) -> None:
        """Store the working directory."""
        self._workdir = workdir
        self._known: dict[str, Found] = {}

    def files(self, text: str, job: Any, paths: Paths, products: Container[str]) -> Found:
        """Return the files that a command names.

        Args:
            text: Command without marks.
            job: ``snakemake.jobs.Job``; its own files are left out.
            paths: Translates absolute paths.
            products: Paths that jobs of the workflow make; these, and what lies below them, are
                left out: the job has to declare them.

        Returns:
            Path on the worker relative to the working directory, and absolute path. A folder counts
            with all of its files or not at all, as a part of it would be taken for the whole.
        """
        own: set[str] | None = None
        found: Found = {}
        for word in words(text):
            if (files := self._files(word, paths, products)) and word not in found:
                if own is None:
                    own = {os.path.normpath(path) for path in _own(job)}
                found.update(
                    (name, path) for name, path in files.items() if not _is_below(name, own)
                )
        return found

    def _files(self, word: str, paths: Paths, products: Container[str]) -> Found:
        if word not in self._known:
            self._known[word] = {}
            name = _relative(word, paths)
            if name and not _is_below(name, products):
                self._known[word] = self._look_up(name, products)
        return self._known[word]

    def _look_up(self, name: str, products: Container[str]) -> Found:
        path = os.path.join(self._workdir, name)  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113
            return {name: path} if os.path.getsize(path) <= _LARGEST else {}  # noqa: PTH202
        found: Found = {}
        total = 0
        for file in _walk(path):
            inside = os.path.relpath(file, self._workdir)
            total += os.path.getsize(file) if os.path.isfile(file) else _MOST_BYTES  # noqa: PTH113, PTH202
            if total >= _MOST_BYTES or len(found) == _MOST_FILES or _is_below(inside, products):
                return {}
            found[inside] = file
        return found


def words(text: str) -> set[str]:
    """Return the words of a command that may be paths, with and without quotes around them."""
    found = {word.rstrip(_ENDS) for word in WORD.findall(text)}
    for single, double in _QUOTED.findall(text):
        found.add(single or double)
    return {word for word in found if 0 < len(word) <= _LONGEST}


def _relative(word: str, paths: Paths) -> str:
    """Return a word as a normalised path relative to the working directory, empty if it is none."""
    if "\0" in word:
        return ""
    if word.startswith("/"):
        marked = paths.on_worker(word)
        if not marked.startswith(f"{WORKDIR}/"):
            return ""
        word = marked.removeprefix(f"{WORKDIR}/")
    name = os.path.normpath(word)
    # Not the working directory itself, one above, or what Snakemake keeps.
    if not name.strip("./") or name.split("/")[0] == ".snakemake":
        return ""
    return name


def _walk(folder: str) -> Iterator[str]:
    for top, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield os.path.join(top, name)  # noqa: PTH118


def _own(job: Any) -> Iterator[str]:
    for paths in (job.input, job.output, job.log, [job.benchmark] if job.benchmark else []):
        yield from map(str, paths)


def _is_below(name: str, paths: Container[str]) -> bool:
    """Return whether a normalised path is among others, or below one of them."""
    while name:
        if name in paths:
            return True
        name = name.rpartition("/")[0]
    return False
