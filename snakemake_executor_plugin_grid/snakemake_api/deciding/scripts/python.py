"""Python scripts: the preamble that makes their ``snakemake`` object, and their command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from ....worker.decided.decision import PYTHON, SCRIPT, TMPDIR
from ....worker.description import WORKDIR
from ..decided import Unsupported
from ..paths import Paths
from . import shim
from . import source as sources
from .beside import importable, modules_below, remembered
from .containers import MODULE, Snakemake
from .pickling import dumps
from .source import Source

_START = "######## snakemake preamble start (automatically inserted, do not edit) ########"
_END = "######## snakemake preamble end #########"
COMMAND = f"{PYTHON} {SCRIPT}"
"""Shell text that runs a script: `PythonScript.execute_script` with the Python of the node."""
_IMPORTED = re.compile(r"^\s*(?:from|import)\s+([^\W\d]\w*)", re.MULTILINE)


def preamble(
    call: Any, source: Source, job: Any, paths: Paths, addendum: str = ""
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Return the text before the source of a script or notebook.

    It does what ``snakemake.script.PythonScript.generate_preamble`` does, in as many lines and with
    the same names, but loads the object through the module ``grid_script`` of the stand-in.

    Args:
        call: The arguments of Snakemake's function.
        source: The script.
        job: ``snakemake.jobs.Job``.
        paths: Translates paths.
        addendum: Code that follows.

    Returns:
        The text, files as `Rendered.files`, and packages.

    Raises:
        Unsupported: A value cannot be pickled, or there is no stand-in.
    """
    try:
        shim.files()
    except shim.LayoutError as error:
        raise Unsupported(f"its script is Python, but {error}") from error
    snakemake = _snakemake(call, source)
    data, packages = dumps(snakemake, paths)
    folders, files = _search_path(job, paths)
    files = {**files, **_imported(source, job, paths)}
    folders = list(dict.fromkeys((*folders, *source.folders)))
    shell_exec = call.resources.get("shell_exec")
    code = [
        "import os, sys",
        "sys.path.insert(1, os.environ['GRID_SHIM'])",
        "import grid_script, pickle",
        f"snakemake = grid_script.load({data!r}, {WORKDIR!r}, {TMPDIR!r})",
        f"sys.path.extend({folders!r})",
        "from snakemake.logging import logger",
        f"from {MODULE} import Snakemake",
    ]
    if shell_exec is not None:
        code.append(f"from snakemake.shell import shell; shell.executable({shell_exec!r})")
    if addendum:
        code.append(addendum)
    return "\n".join([_START, "; ".join(code) + ";", _END, ""]), files, packages


def real_file(source: Source) -> str:
    """Return the code that sets ``__file__`` as ``PythonScript.get_preamble`` does."""
    return f"__real_file__ = __file__; __file__ = {source.file!r}"


def _snakemake(call: Any, source: Source) -> Any:
    """Return the object of the script.

    Its class imports numpy, pandas and polars to see whether params are theirs; what was not
    imported by now, no value is of.
    """
    absent = [name for name in ("numpy", "pandas", "polars") if name not in sys.modules]
    try:
        for name in absent:
            sys.modules[name] = None  # type: ignore[assignment]  # is not searched for
        return Snakemake(
            call.input,
            call.output,
            call.params,
            call.wildcards,
            call.threads,
            call.resources,
            call.log,
            call.config,
            call.rulename,
            call.bench_iteration,
            source.place.get_basedir().get_path_or_uri(),
        )
    finally:
        for name in absent:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]


def _search_path(job: Any, paths: Paths) -> tuple[list[str], dict[str, str]]:
    """Return the workflow's own folders on Python's search path, and the modules in them.

    Scripts inherit the search path of Snakemake (``get_snakemake_searchpaths``), to which a
    Snakefile may have added folders.
    """
    homes = _homes(job)
    return remembered((*homes, *sys.path), lambda: _folders(homes, paths))


def _homes(job: Any) -> tuple[str, ...]:
    return os.getcwd(), str(job.rule.workflow.basedir)  # noqa: PTH109


def _imported(source: Source, job: Any, paths: Paths) -> dict[str, str]:
    """Return modules that are no part of a folder on the search path.

    These are folders without ``__init__.py`` that the script imports from, and, if it changes the
    search path, what lies in the folders around it.
    """
    homes = _homes(job)
    found: set[str] = set()
    for name in set(_IMPORTED.findall(source.text)):
        for home in homes:
            folder = os.path.join(home, name)  # noqa: PTH118
            if home in sys.path and os.path.isdir(folder):  # noqa: PTH112
                found |= remembered((folder, "imported"), lambda at=folder: modules_below(at))  # type: ignore[misc]
    if "sys.path" in source.text:
        for folder in _around(source.path, homes):
            found |= remembered((folder, "around"), lambda at=folder: importable(at))  # type: ignore[misc]
    return sources.named(found, paths)


def _around(script: str, homes: tuple[str, ...]) -> Iterator[str]:
    """Yield the folders above that of a script, up to the workflow's own."""
    if not script:
        return
    yield from homes
    for home in homes:
        folder = os.path.dirname(os.path.dirname(script))  # noqa: PTH120
        while folder.startswith(f"{home}/"):
            yield folder
            folder = os.path.dirname(folder)  # noqa: PTH120


def _folders(homes: tuple[str, ...], paths: Paths) -> tuple[list[str], dict[str, str]]:
    folders: list[str] = []
    files: dict[str, str] = {}
    for entry in dict.fromkeys(map(os.path.abspath, filter(None, sys.path))):
        if not os.path.isdir(entry) or not _of_workflow(entry, homes):  # noqa: PTH112
            continue
        folders.append(sources.on_worker(entry, paths))
        deep = not any(f"{home}/".startswith(f"{entry}/") for home in homes)
        found = modules_below(entry) if deep else importable(entry)
        files.update(sources.named(set(found), paths))
    return folders, files


def _of_workflow(entry: str, homes: tuple[str, ...]) -> bool:
    if ".snakemake" in entry.split("/") or "site-packages" in entry:
        return False
    if any(f"{entry}/".startswith(f"{prefix}/") for prefix in (sys.prefix, sys.base_prefix)):
        return False
    return any(f"{entry}/".startswith(f"{home}/") for home in homes)
