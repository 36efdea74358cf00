"""Finds programs on PATH, and writes shell words."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .errors import lacking


def which(name: str, path: str) -> str:
    """Return the path of a program, empty if there is none.

    The same as `shutil.which` on POSIX, whose import is slow.

    Args:
        name: Name without a folder.
        path: Folders, as in ``PATH``.
    """
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or os.curdir, name)
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return os.path.abspath(candidate)
    return ""


def find_shell(executable: str, path: str) -> str:
    """Return the path of a shell.

    Args:
        executable: As in `decision.Shell`.
        path: Folders, as in ``PATH``.

    Raises:
        StepError: The node does not have it.
    """
    if not executable:
        return "/bin/sh"
    if os.path.isabs(executable) and os.access(executable, os.X_OK):
        return executable
    name = os.path.basename(executable)
    if found := which(name, path):
        return found
    raise lacking(
        f"the worker node has no shell {executable}, and no {name} on PATH {path!r}; choose a site "
        "that has it, or make it available by --grid-runtime-setup"
    )


def find_python(path: str) -> str:
    """Return the path of the Python that runs Python scripts.

    Args:
        path: Folders, as in ``PATH``.

    Raises:
        StepError: The node has none.
    """
    for name in ("python3", "python"):
        if found := which(name, path):
            return found
    raise lacking(
        f"the worker node has neither python3 nor python on PATH {path!r}, which the rule's Python "
        "script needs; make one available by --grid-runtime-setup, or choose another site"
    )


def quoted(text: str) -> str:
    """Return a word as the shell reads it; the same as `shlex.quote`, without its import."""
    return "'" + text.replace("'", "'\\''") + "'"


def command_line(words: Sequence[str]) -> str:
    """Return words as a shell line."""
    return " ".join(map(quoted, words))
