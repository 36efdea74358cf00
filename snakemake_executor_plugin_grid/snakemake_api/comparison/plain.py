"""Values of a workflow as texts that are the same in two processes if the values are."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

UNDECIDED = "<TBD>"
"""Snakemake's text for a value that depends on files that do not exist yet (9.27)."""
_WORKDIR = "<grid_workdir>"
_SOURCES = "<grid_sources>"
_DEEPEST = 20
_LARGE = 1000  # elements of an array of which only a digest is compared
_AS_TEXT = {"datetime", "decimal", "fractions", "uuid", "ipaddress", "zoneinfo"}

Place = tuple[str, str]
"""A path, and the mark that stands for it on both sides."""


class Cleaner:
    """Puts marks in the place of what differs between two hosts although it means the same.

    These are the working directory and those above it, the copies of ``workflow.source_path`` in
    Snakemake's cache, and the folder of temporary files. A path of the submit host has its mark on
    the worker, too, as a Snakefile may spell it out.
    """

    def __init__(self, places: Iterable[Place], secrets: Mapping[str, str] | None = None) -> None:
        """Store what is replaced.

        Args:
            places: Paths and marks; the first mark of a path counts.
            secrets: Texts that nobody may read, and their marks.
        """
        self._secrets = sorted((secrets or {}).items(), key=lambda item: -len(item[0]))
        self._marks: dict[str, str] = {}
        for path, mark in places:
            if len(path) > 1:
                self._marks.setdefault(path, mark)
        paths = sorted(self._marks, key=len, reverse=True)
        self._pattern = re.compile(
            rf"(?:{'|'.join(map(re.escape, paths))})(?![\w.~+@%-])" if paths else r"(?!)"
        )

    def __call__(self, text: str) -> str:
        """Return a text with the marks."""
        text = self._pattern.sub(lambda found: self._marks[found[0]], text) if text else text
        for secret, mark in self._secrets:
            text = text.replace(secret, mark)
        return text


def workdir_places(folder: str, levels: int) -> list[Place]:
    """Return the marks of a working directory and of the folders above it.

    Args:
        folder: Absolute path.
        levels: How many folders above it count.
    """
    places, mark = [(folder, _WORKDIR)], _WORKDIR
    for _ in range(levels):
        folder, mark = os.path.dirname(folder), f"{mark}/.."  # noqa: PTH120
        places.append((folder, mark))
    return places


def cache_places(folders: Iterable[str]) -> list[Place]:
    """Return the marks of the folders in which Snakemake keeps copies of sources."""
    # It names a copy by scheme and path of the source (SourceFile.get_cache_path, 9.27).
    return [(f"{folder}{end}", _SOURCES) for folder in folders for end in ("/file", "")]


def plain(value: Any, clean: Callable[[str], str] = str, depth: int = 0) -> str | None:
    """Return a text that is the same in two processes if the value is; None if there is none.

    Objects and functions have none, as each process makes its own; nor have undecided values.
    """
    if value is None or (isinstance(value, bool | int | float | complex) and _is_own(value)):
        return repr(value)
    if isinstance(value, str):
        undecided = type(value).__name__ == "TBDString"
        return None if undecided else repr(clean(str(value)))
    if isinstance(value, os.PathLike):
        return repr(clean(os.fsdecode(value)))
    if isinstance(value, bytes | bytearray):
        return repr(bytes(value))
    if depth > _DEEPEST:
        return None
    inside = depth + 1
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        pairs = [(plain(key, clean, inside), plain(value[key], clean, inside)) for key in value]
        if any(part is None for pair in pairs for part in pair):
            return None
        return "{" + ", ".join(sorted(f"{key}: {item}" for key, item in pairs)) + "}"
    if isinstance(value, set | frozenset):
        return _joined(value, clean, inside, "{}", in_order=False)
    if isinstance(value, list | tuple):
        return _joined(value, clean, inside, "()" if type(value) is tuple else "[]")
    if isinstance(value, range):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        text = plain(fields, clean, inside)
        return None if text is None else f"{type(value).__name__}{text}"
    return _of_library(value, clean, inside)


def multiset(values: Iterable[Any], clean: Callable[[str], str] = str) -> str | None:
    """Return the text of a list whose order does not matter: that of a listing differs."""
    return _joined(values, clean, 0, "[]", in_order=False)


def _is_own(value: Any) -> bool:
    """Return whether a number is one of Python itself."""
    return type(value).__module__ == "builtins"


def _joined(
    values: Iterable[Any],
    clean: Callable[[str], str],
    depth: int,
    brackets: str,
    *,
    in_order: bool = True,
) -> str | None:
    texts = [plain(value, clean, depth) for value in values]
    known = [text for text in texts if text is not None]
    if len(known) < len(texts):
        return None
    return brackets[0] + ", ".join(known if in_order else sorted(known)) + brackets[1]


def _of_library(value: Any, clean: Callable[[str], str], depth: int) -> str | None:
    package = (type(value).__module__ or "").partition(".")[0]
    name = type(value).__name__
    try:
        if package in _AS_TEXT:
            return f"{name}({value})"
        if package == "numpy":
            return _array(value, clean, depth)
        if package == "pandas" and hasattr(value, "to_csv"):
            return f"{name}({clean(value.to_csv())!r})"
        if package == "pandas":
            items = value.tolist() if hasattr(value, "tolist") else str(value)
            text = plain(items, clean, depth)
            return None if text is None else f"{name}({text})"
        if package == "polars":
            frame = value.collect() if hasattr(value, "collect") else value
            items = frame.to_dicts() if hasattr(frame, "to_dicts") else frame.to_list()
            text = plain(items, clean, depth)
            return None if text is None else f"{name}({text})"
    except Exception:  # these libraries may raise anything
        return None
    if isinstance(value, bool | int | float | complex):
        return f"{name}({value!r})"
    return None  # functions, modules, objects


def _array(value: Any, clean: Callable[[str], str], depth: int) -> str | None:
    if not hasattr(value, "dtype"):
        return None
    if value.size > _LARGE and value.dtype.kind in "biufcSUmM":
        text: str | None = f"SHA-256 {hashlib.sha256(value.tobytes()).hexdigest()}"
    else:
        text = plain(value.tolist(), clean, depth)
    return None if text is None else f"array({value.dtype}, {list(value.shape)}, {text})"
