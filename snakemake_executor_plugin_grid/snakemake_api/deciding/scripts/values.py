"""The values of a job as its script gets them: paths of this host become those on the worker."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from ....worker.description import WORKDIR
from ..paths import Paths
from .containers import Namedlist


def text_on_worker(text: str, paths: Paths) -> str:
    """Return a text in which paths below the working directory begin with a mark.

    Args:
        text: A path, or a text in which paths occur, such as ``--index /home/me/analysis/a``.
        paths: Translates what is a path as a whole.
    """
    if "/" not in text:
        return text
    if text.startswith("/") and (marked := paths.on_worker(text)) != text:
        return marked
    workdir = os.getcwd()  # noqa: PTH109 - text only
    if workdir not in text or workdir == "/":
        return text
    return _occurs(workdir).sub(lambda _: WORKDIR, text)


@lru_cache(maxsize=8)
def _occurs(folder: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.~>/-]){re.escape(folder)}(?![\w.~-])")


def on_worker(value: Any, paths: Paths) -> Any:
    """Return a value whose texts and paths are those on the worker; others are returned as is.

    A set becomes a sorted list: its order would be another one in each run, and with it the text
    of the script.
    """
    if isinstance(value, str):
        return text_on_worker(str.__str__(value), paths)
    if isinstance(value, PurePath):
        marked = text_on_worker(str(value), paths)
        return value if marked == str(value) else type(value)(marked)
    if isinstance(value, Namedlist):
        return _namedlist(value, paths)
    kind = type(value)
    if kind in (dict, OrderedDict):  # Snakemake reads JSON into the latter
        return kind((on_worker(key, paths), on_worker(one, paths)) for key, one in value.items())
    if kind in (list, tuple):
        return kind(on_worker(one, paths) for one in value)
    if kind in (set, frozenset):
        return [on_worker(one, paths) for one in in_order(value)]
    return value


def in_order(values: set[Any] | frozenset[Any]) -> list[Any]:
    """Return the members of a set in an order that is the same in each process."""
    return sorted(values, key=lambda one: (type(one).__name__, repr(one)))


def _namedlist(value: Any, paths: Paths) -> Any:
    copy = type(value)(toclone=list(value))
    for number, one in enumerate(value):
        copy[number] = on_worker(one, paths)
    copy._take_names(value._get_names())
    return copy
