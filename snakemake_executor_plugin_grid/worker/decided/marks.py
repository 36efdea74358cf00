"""Puts values that only the worker knows in the place of marks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..description import WORKDIR, FolderError
from .decision import PYTHON, SCRIPT, TMPDIR, VARIABLE

# Characters that no shell changes outside of quotes; a blank needs single quotes.
_PLAIN = r"[\w@%+=:,./-]*"
# Shells, Python, R, Julia and JSON read all other characters as they are within quotes.
_SPECIAL = r"""["'\\$`\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]"""
# Of a shell command: quoted words, and characters that quote nothing.
_WORDS = r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*\""""
_NAMES = {
    WORKDIR: "the job's folder",
    TMPDIR: "the folder for temporary files",
    SCRIPT: "the script",
    PYTHON: "Python",
}


def fill_path(path: str, values: Mapping[str, str]) -> str:
    """Return a path with the values of its marks."""
    for mark, value in values.items():
        path = path.replace(mark, value)
    return path


def fill_script(text: str, values: Mapping[str, str]) -> str:
    """Return the text of a script, in which marks stand within strings.

    Raises:
        FolderError: A value contains quotes, backslashes, ``$`` or control characters.
    """
    for mark, value in values.items():
        if mark in text:
            if found := re.search(_SPECIAL, value):
                raise _error(mark, value, found[0], "a script")
            text = text.replace(mark, value)
    return text


def fill_command(text: str, values: Mapping[str, str]) -> str:
    """Return a shell text.

    Values with blanks are possible only where each of their marks follows a single quote, as
    ``{input:q}`` writes it.

    Raises:
        FolderError: A value would need quotes.
    """
    for mark, value in values.items():
        if mark not in text:
            continue
        # The text had the values of variables before, as they are.
        if not mark.startswith(VARIABLE) and not re.fullmatch(_PLAIN, value, re.ASCII):
            unfit = _SPECIAL if _quoted(text, mark) else r"[^\w@%+=:,./-]"
            found = re.search(unfit, value)
            if found:
                raise _error(mark, value, found[0], "a command")
        text = text.replace(mark, value)
    return text


def _quoted(text: str, mark: str) -> bool:
    """Return whether each mark follows a single quote that opens a quoted word."""
    if text.count("'" + mark) != text.count(mark):
        return False
    end = 0
    for found in re.finditer(_WORDS, text, re.DOTALL):
        # Between quoted words, or in a quote that never ends.
        if mark in text[end : found.start()]:
            return False
        end = found.end()
    return mark not in text[end:]


def _error(mark: str, value: str, character: str, where: str) -> FolderError:
    return FolderError(
        f"the path of {_NAMES.get(mark, mark)} on this node, {value!r}, contains {character!r}, "
        f"so it cannot stand in {where}; use relative paths in the rule, or another site"
    )
