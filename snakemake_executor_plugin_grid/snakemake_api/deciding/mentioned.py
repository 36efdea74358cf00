"""Files that a command names and no rule declares, such as ``python tools/x.py``."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ...worker.description import WORKDIR
from .marking import WORD
from .paths import Paths
from .scripts.beside import code_beside

_LARGEST = 1 << 20
_MOST_FILES = 200
_MOST_BYTES = 16 << 20
_LONGEST = 1000
_QUOTED = re.compile(r"'([^'\n]{1,1000})'|\"([^\"\n]{1,1000})\"")
_ENDS = ":,;\\"
_LIST = re.compile("[:,]")
_HERE = re.compile(r"(?:\$PWD|\$\{PWD\}|\$\(pwd\))/")
_IN = re.compile(r"\b(?:for\s+\w+|case\s+\S+)\s+in(?=\s)")
"""The word ``in`` of the shell is no folder, even if there is one of that name."""
_MODULE = re.compile(r"(?<!\S)-m\s+([A-Za-z_]\w*)(?=[.\s]|$)")
"""``python -m package.module``: the package, or the module, in the working directory."""

Files = dict[str, str]
"""Path on the worker relative to the working directory, and absolute path on the submit host."""


@dataclass(frozen=True)
class Found:
    """What a text names.

    Attributes:
        files: Files that have to travel.
        beside: Code in the folders of programs among them, which these may import or source.
        large: Files that are too large for that.
        elsewhere: Words that are absolute paths in a folder of a Snakefile outside of the working
            directory, and what stands for them.
    """

    files: Files = field(default_factory=dict)
    beside: Files = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    elsewhere: dict[str, str] = field(default_factory=dict)


class Mentioned:
    """Finds such files; a folder is listed once for all jobs."""

    def __init__(self, workdir: str, sources: Iterable[str] = ()) -> None:
        """Set up the search.

        Args:
            workdir: Working directory.
            sources: Folders of Snakefiles outside of it.
        """
        self._workdir = workdir
        self._sources = tuple(f"{folder.rstrip('/')}/" for folder in sources)
        self._folders: dict[str, Files] = {}
        self._last: tuple[Any, set[str]] | None = None

    def files(self, text: str, job: Any, paths: Paths, products: Container[str]) -> Found:
        """Return the files that a command names.

        Args:
            text: Command without marks.
            job: ``snakemake.jobs.Job``; its own files are left out.
            paths: Translates absolute paths.
            products: Paths that jobs of the workflow make; these, and what lies below them, are
                left out: the job has to declare them.

        Returns:
            A folder counts with all of its files or not at all, as a part of it would be taken for
            the whole. Files above 1 MiB do not count, nor do folders above 200 files or 16 MiB.
        """
        own = self._own(job, paths)
        found = Found()
        for word in _words(text):
            name = self._relative(word, paths)
            if not name:
                continue
            if name in own:  # such as a program that is an input
                if not _is_below(name, products):
                    path = os.path.join(self._workdir, name)  # noqa: PTH118
                    found.beside.update(self._beside(name, path, own, products))
                continue
            files = self._look_up(name)
            if files is None and not _is_below(name, products):
                found.large.add(name)
            if not files:
                continue
            files = {name: path for name, path in files.items() if not _is_below(name, own)}
            if any(_is_below(name, products) for name in files):
                continue
            found.files.update(files)
            if name in files:
                found.beside.update(self._beside(name, files[name], own, products))
            if self._is_elsewhere(word):
                found.elsewhere[word] = f"{WORKDIR}/{name}"
        return found

    def _own(self, job: Any, paths: Paths) -> set[str]:
        """Return the normalised paths of a job's own files."""
        if self._last is None or self._last[0] is not job:
            self._last = job, {self._relative(path, paths) or path for path in _files(job)}
        return self._last[1]

    def _relative(self, word: str, paths: Paths) -> str:
        """Return a word as a normalised path relative to the working directory, empty if none."""
        if word.startswith(paths.caches):
            return ""  # the marker knows where such a path ends
        if word.startswith("/"):
            marked = paths.on_worker(word)
            if marked.startswith(f"{WORKDIR}/"):
                word = marked.removeprefix(f"{WORKDIR}/")
            elif self._is_elsewhere(word):
                word = os.path.relpath(word, self._workdir)
            else:
                return ""
        name = os.path.normpath(word)
        # Not the working directory itself, one above, or what Snakemake keeps.
        if not name.strip("./") or name.split("/")[0] == ".snakemake":
            return ""
        return name

    def _is_elsewhere(self, word: str) -> bool:
        """Return whether a word is a path in a folder of a Snakefile outside.

        ``workflow.basedir`` may be ``/home/me/run/../flow``.
        """
        plain = os.path.normpath(word)
        return plain.startswith(self._sources) and (
            "/../" not in word or os.path.realpath(word) == os.path.realpath(plain)
        )

    def _look_up(self, name: str) -> Files | None:
        """Return the files that a name stands for; None for a file that is too large."""
        path = os.path.normpath(os.path.join(self._workdir, name))  # noqa: PTH118
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError:
            return {}
        if stat.S_ISREG(status.st_mode):
            return {name: path} if status.st_size <= _LARGEST else None
        if not stat.S_ISDIR(status.st_mode):
            return {}
        if name not in self._folders:
            self._folders[name] = self._listed(path)
        return self._folders[name]

    def _beside(
        self, name: str, path: str, own: Container[str], products: Container[str]
    ) -> Iterator[tuple[str, str]]:
        above = os.path.dirname(path)  # noqa: PTH120
        for file in code_beside(path):
            other = os.path.normpath(f"{name}/../{os.path.relpath(file, above)}")
            if not _is_below(other, own) and not _is_below(other, products):
                yield other, file

    def _listed(self, folder: str) -> Files:
        found: Files = {}
        total = 0
        for file in _walk(folder):
            try:
                status = os.stat(file)  # noqa: PTH116
            except OSError:
                return {}
            total += status.st_size
            if not stat.S_ISREG(status.st_mode) or total > _MOST_BYTES or len(found) >= _MOST_FILES:
                return {}
            found[os.path.relpath(file, self._workdir)] = file
        return found


def _words(text: str) -> set[str]:
    """Return the words of a command that may be paths, with and without quotes around them."""
    text = _IN.sub(" ", _HERE.sub("", text))
    found = {word.rstrip(_ENDS) for word in WORD.findall(text)}
    for word in [word for word in found if ":" in word or "," in word]:
        found.update(_LIST.split(word))  # such as a list of folders
    # As curl and compilers read it.
    found.update([word.removeprefix("@") for word in found if word.startswith("@")])
    for single, double in _QUOTED.findall(text):
        found.add(single or double)
    for name in _MODULE.findall(text):
        found.update((name, f"{name}.py"))
    return {word for word in found if 0 < len(word) <= _LONGEST}


def _walk(folder: str) -> Iterator[str]:
    """Yield all files below a folder, and links to folders."""
    for top, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]  # noqa: PTH114, PTH118
        for name in sorted([*files, *links]):
            yield os.path.join(top, name)  # noqa: PTH118


def _files(job: Any) -> Iterator[str]:
    for paths in (job.input, job.output, job.log, [job.benchmark] if job.benchmark else []):
        yield from map(str, paths)


def _is_below(name: str, paths: Container[str]) -> bool:
    """Return whether a normalised path is among others, or below one of them."""
    while name:
        if name in paths:
            return True
        name = name.rpartition("/")[0]
    return False
