"""Puts marks into texts where the worker has another path than the submit host."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...worker.description import WORKDIR
from .decided import Unsupported
from .paths import Paths

WORD = re.compile(r"""[^\s'"=;|&<>()`$]+""")
"""What may be a file name in a shell command."""

# A path may begin here: not within a name, but after -I, ${X:-, file:// and @ as curl reads it.
_BEGIN = r"""(?:(?<![\w/.~+@%})-])|(?<=[\s'"]-[A-Za-z])|(?<=:-)|(?<=\bfile://)|(?<=[\s=]@))"""
# A folder's path may end here: what follows cannot be the rest of a longer name.
_END = r"""(?![\w.+@%~-]|\\ )"""
_REST = re.compile(r"""[^\s'"`;|&<>()$,:]*""")
_ELSEWHERE = ("/dev/", "/proc/", "/sys/")


def check(text: str) -> str:
    """Return a text from a workflow.

    Raises:
        Unsupported: It cannot be sent: it contains what reads as a mark, or a null byte.
    """
    if "<grid_" in text:
        raise Unsupported("it contains the text <grid_, which this plugin uses as a mark")
    if "\0" in text:
        raise Unsupported("it contains a null byte")
    return text


class Marker:
    """Recognises absolute paths below the working directory in texts."""

    def __init__(self, translate: Callable[[str], str], folders: Iterable[Any]) -> None:
        """Set up the search.

        Args:
            translate: Returns what stands for an absolute path below the working directory, and
                another path as it is.
            folders: The names of the working directory, and Snakemake's source caches.
        """
        self._translate = translate
        self._folders = tuple(sorted({str(one).rstrip("/") for one in folders if one} - {""}))
        self._known = (*(f"{folder}/" for folder in self._folders), *_ELSEWHERE)
        names = "|".join(map(re.escape, sorted(self._folders, key=len, reverse=True)))
        # The root of the file system cannot be recognised in a text.
        self._pattern = re.compile(f"{_BEGIN}(?:{names}){_END}") if names else re.compile("(?!)")
        self._aliases: dict[str, str] = {}

    def mark(self, text: str, paths: Paths, elsewhere: Mapping[str, str] | None = None) -> str:
        """Return a text with marks for the paths in it.

        Args:
            text: Such as a shell command.
            paths: Of the job, which collects files of the source cache.
            elsewhere: Other absolute paths, and what stands for them.

        Raises:
            Unsupported: See `check`; or a file of the source cache is not recognised.
        """
        check(text)
        if "/" not in text:
            return text
        aliases = {**self._aliases_in(text), **(elsewhere or {})}
        if any(folder in text for folder in self._folders):
            text = self._replace(text, paths)
        for alias, marked in aliases.items():
            text = re.sub(f"{_BEGIN}{re.escape(alias)}{_END}", lambda _, to=marked: to, text)  # type: ignore[misc]
        return text

    def _replace(self, text: str, paths: Paths) -> str:
        pieces, end = [], 0
        for found in self._pattern.finditer(text):
            if found.start() < end:
                continue  # within a path that has been replaced
            pieces.append(text[end : found.start()])
            end = found.end()
            if found[0] in paths.caches:
                path = _existing(text, found.start(), found.end())
                end = found.start() + len(path)
                pieces.append(paths.on_worker(path))
            else:
                pieces.append(WORKDIR)
        return "".join([*pieces, text[end:]])

    def _aliases_in(self, text: str) -> dict[str, str]:
        """Return words that name a path below the working directory by way of a link elsewhere."""
        found = {}
        for word in set(WORD.findall(text)):
            if not word.startswith("/") or f"{word}/".startswith(self._known):
                continue
            if word not in self._aliases:
                self._aliases[word] = self._translate(word)
            if self._aliases[word] != word:
                found[word] = self._aliases[word]
        return found


def _existing(text: str, start: int, end: int) -> str:
    """Return the path of the source cache that begins in a text, also one with blanks in quotes."""
    quote = text[start - 1 : start]
    if quote in ("'", '"') and quote in text[end:]:
        path = text[start : text.index(quote, end)]
        if os.path.exists(path):  # noqa: PTH110 - text
            return path
    rest = _REST.match(text, end)
    path = text[start : rest.end() if rest else end]
    if os.path.isfile(path):  # noqa: PTH113 - text
        return path
    raise Unsupported(f"it names {path}, which is no file of Snakemake's source cache")
