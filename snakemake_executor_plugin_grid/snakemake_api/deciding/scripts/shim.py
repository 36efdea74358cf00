"""The files of the stand-in for Snakemake, which travels in the worker program.

A part is this project's own (`stand_in/`), the other is read from the installed Snakemake (9.27):
``iocontainers.py`` as it is, the class ``shell``, and what ``utils.py`` has for it.

The stand-in runs on Python 3.6 or later: ``iocontainers.py`` of 9.27 promises Python 3.7 and has no
syntax that 3.6 lacks. Before Python 3.7, what is missing is not explained (PEP 562).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import snakemake
from snakemake import shell as _  # noqa: F401 - the name is that of the class
from snakemake import utils

from .containers import FILE, MODULE

FOLDER = "shim"
"""Of the files in the worker program; the variable ``GRID_SHIM`` names it on the node."""

_CONTAINERS = "snakemake.iocontainers"
_OWN = Path(__file__).parent / "stand_in"
_PACKAGE = Path(snakemake.__file__).parent
_LACKS = "from grid_script import lacks\n\n__getattr__ = lacks(__name__)\n"

_UTILS = (
    "SequenceFormatter",
    "QuotedFormatter",
    "AlwaysQuotedFormatter",
    "format",
    "Unformattable",
    "argvquote",
    "cmd_exe_quote",
    "makedirs",
    "linecount",
    "simplify_path",
    "update_config",
    "available_cpu_count",
    "os_sync",
)
"""What scripts get of ``snakemake.utils``: what needs only the standard library."""
_UTILS_HEAD = """\
import collections.abc
import inspect
import multiprocessing
import os
import re
import shlex
import string
import sys

from snakemake.common import ON_WINDOWS
from snakemake.exceptions import WorkflowError
from {containers} import Namedlist, Wildcards
from snakemake.logging import logger
"""
_ABSENT = {
    "snakemake_interface_logger_plugins.common": "class LogEvent:\n    SHELLCMD = 'shellcmd'\n",
    "snakemake.deployment": "singularity = None\n",
}
"""What stands in for names that ``shell.py`` imports from modules that nodes do not have."""


class LayoutError(Exception):
    """The installed Snakemake has another layout; the stand-in has to be adapted to it."""


@cache
def files() -> dict[str, bytes]:
    """Return the files by their names in the worker program, below `FOLDER`.

    Raises:
        LayoutError: The installed Snakemake lacks what the stand-in takes of it.
    """
    own = {str(path.relative_to(_OWN)): path.read_text("utf-8") for path in _OWN.rglob("*.py")}
    own["snakemake/__init__.py"] = own["snakemake/__init__.py"].replace(
        '__version__ = "0"', f"__version__ = {str(snakemake.__version__)!r}"
    )
    own[f"{MODULE.replace('.', '/')}.py"] = Path(FILE).read_text("utf-8")
    own["snakemake/io/__init__.py"] += _of_io(
        Path(FILE).read_text("utf-8"),
        (_PACKAGE / "io" / "__init__.py").read_text("utf-8"),
    )
    own["snakemake/script.py"] = own["snakemake/script.py"].replace(_CONTAINERS, MODULE)
    own["snakemake/utils.py"] = _utils(Path(utils.__file__).read_text("utf-8"))
    own["snakemake/shell.py"] = _shell((_PACKAGE / "shell.py").read_text("utf-8"))
    return {f"{FOLDER}/{name}": own[name].encode() for name in sorted(own)}


def for_worker() -> dict[str, bytes]:
    """Return the files; none if the installed Snakemake has another layout.

    Python scripts are not decided then.
    """
    try:
        return files()
    except LayoutError:
        return {}


def _of_io(containers: str, text: str) -> str:
    """Return the class that values have of ``snakemake.io`` in Snakemake 9.17."""
    names = [
        alias.name
        for node in ast.walk(ast.parse(containers))
        if isinstance(node, ast.ImportFrom) and node.module == "snakemake.io"
        for alias in node.names
        if alias.name == "AttributeGuard"
    ]
    return "".join(f"\n\n{part}\n" for part in _taken("snakemake.io", text, names[:1]))


def _utils(text: str) -> str:
    taken = _taken("snakemake.utils", text, _UTILS)
    return "\n\n".join((_UTILS_HEAD.format(containers=MODULE), *taken, _LACKS))


def _taken(module: str, text: str, names: Iterable[str]) -> list[str]:
    parts = _parts(text)
    if missing := [name for name in names if name not in parts]:
        raise LayoutError(f"{module} of {snakemake.__version__} has no {missing}")
    return [parts[name] for name in names]


def _parts(text: str) -> dict[str, str]:
    """Return the source of the functions and classes of a module."""
    lines = text.split("\n")
    return {
        node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno])
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _shell(text: str) -> str:
    """Return ``shell.py`` with other imports."""
    lines = text.splitlines(keepends=True)
    absent = dict(_ABSENT)
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module in absent:
            lines[node.lineno - 1 : node.end_lineno] = [
                absent.pop(node.module),
                *[""] * ((node.end_lineno or node.lineno) - node.lineno),
            ]
    if absent:
        raise LayoutError(f"snakemake.shell of {snakemake.__version__} imports no {list(absent)}")
    return "".join(lines) + "\n" + _LACKS
