"""Files beside a script: modules that it imports, code that it sources, small tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from ..decided import Unsupported

FILE_LIMIT = 1 << 20
"""Size in bytes from which a file beside a script counts as data, as in `planning/sources.py`."""
MOST_FILES = 5_000
TOTAL_LIMIT = 100 << 20
"""Of the sizes in bytes of all files beside a script."""

_SKIPPED = frozenset({".snakemake", ".git", ".hg", ".svn", "__pycache__", "node_modules"})
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
_CODE = (".py", ".R", ".r", ".Rmd", ".jl", ".sh", ".bash")
_FRESH = 5.0
"""Seconds for which a folder is not looked at again: thousands of jobs have the same script."""

T = TypeVar("T")
_known: dict[Hashable, tuple[float, Any]] = {}


def remembered(key: Hashable, make: Callable[[], T]) -> T:
    """Return what a function gives, or gave a few seconds ago for the same key."""
    seen, value = _known.get(key, (float("-inf"), None))
    if time.monotonic() - seen > _FRESH:
        value = make()
        _known[key] = (time.monotonic(), value)
    return value  # type: ignore[no-any-return]


def small_files(folder: str) -> tuple[str, ...]:
    """Return what a script may use of its folder, as paths relative to the folder.

    These are small files in it and below. Of a folder that holds the working directory, only code:
    the rest may be inputs and outputs of any job.

    Raises:
        Unsupported: There are too many.
    """
    workdir = os.path.realpath(os.curdir)
    everything = not f"{workdir}/".startswith(os.path.realpath(folder).rstrip("/") + "/")
    found = remembered((folder, everything), lambda: _relative(folder, everything))
    if isinstance(found, str):
        raise Unsupported(found)
    return found


def code_beside(program: str) -> tuple[str, ...]:
    """Return the paths of code in the folder of a program, absolute as the program's is.

    Nothing for other files, and where there is too much.
    """
    if not program.endswith(_CODE):
        return ()
    folder = os.path.dirname(program)  # noqa: PTH120
    found = remembered((folder, "code"), lambda: _relative(folder, everything=False))
    if isinstance(found, str):
        return ()
    return tuple(f"{folder}/{name}" for name in found)


def _relative(folder: str, everything: bool) -> tuple[str, ...] | str:
    """Return the paths, or why there are too many."""
    try:
        return tuple(os.path.relpath(path, folder) for path in _limited(folder, everything))
    except Unsupported as error:
        return str(error)


def modules_below(folder: str, *, deep: bool = True) -> frozenset[str]:
    """Return the absolute paths of the Python modules in a folder.

    Args:
        folder: Absolute path.
        deep: Whether those in the folders below count, too.
    """
    found = _walk(folder) if deep else _entries(folder)
    return frozenset(path for path in found if path.endswith(".py"))


def importable(folder: str) -> frozenset[str]:
    """Return the absolute paths of the Python modules and packages in a folder."""
    return frozenset(path for path in _code(folder) if path.endswith(".py"))


def _limited(folder: str, everything: bool) -> Iterator[str]:
    total = 0
    for number, path in enumerate(_walk(folder) if everything else _code(folder)):
        try:
            size = os.stat(path).st_size  # noqa: PTH116
        except OSError:
            continue  # a link to nowhere
        total += size if size < FILE_LIMIT else 0
        if number >= MOST_FILES or total > TOTAL_LIMIT:
            raise Unsupported(
                f"the folder of its script, {folder}, holds more than {MOST_FILES:,} files or "
                f"{TOTAL_LIMIT >> 20} MiB; scripts in a folder of their own travel without that"
            )
        if size < FILE_LIMIT and os.access(path, os.R_OK):
            yield path


def _code(folder: str) -> Iterator[str]:
    """Yield code in a folder, and the Python packages in it."""
    for path in _entries(folder):
        if path.endswith(_CODE):
            yield path
    for name in _names(folder):
        package = os.path.join(folder, name)  # noqa: PTH118
        if os.path.isfile(os.path.join(package, "__init__.py")):  # noqa: PTH113, PTH118
            yield from (path for path in _walk(package) if path.endswith(".py"))


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError:
        return []


def _entries(folder: str) -> Iterator[str]:
    for name in _names(folder):
        path = os.path.join(folder, name)  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113
            yield path


def _walk(folder: str) -> Iterator[str]:
    seen = set()  # a link may lead to a folder above it
    for top, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in seen or any(mark in files or mark in folders for mark in _ENVIRONMENT_MARKS):
            folders.clear()
            continue
        seen.add(real)
        # Hidden files are settings of this machine and may hold secrets (.env, .netrc).
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED and not name.startswith(".")
        )
        for name in sorted(files):
            path = os.path.join(top, name)  # noqa: PTH118
            if not name.endswith((".pyc", "~")) and not name.startswith(".") and _is_file(path):
                yield path


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - a pipe would block who reads it
