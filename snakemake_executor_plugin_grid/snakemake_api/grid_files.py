"""Files of the storage plugin ``grid``, which is part of this distribution."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..worker.grid_files.plugin import FOLDER

PACKAGE = "snakemake_storage_plugin_grid"


@dataclass(frozen=True)
class GridPath:
    """A file of a job that lies on the grid.

    Attributes:
        path: Of the local copy, as commands name it.
        query: Its name, such as ``lfn:/vo/prod/file``.
        storage: The provider that knows it.
    """

    path: str
    query: str
    storage: Any


def is_grid_path(path: Any) -> bool:
    """Return whether the worker itself transfers a file of a job from or to the grid."""
    if not path.is_storage:
        return False
    return type(path.storage_object.provider).__module__.partition(".")[0] == PACKAGE


def grid_paths(paths: Iterable[Any]) -> list[GridPath]:
    """Return the files on the grid among the files of a job, each once."""
    found = {
        str(path): GridPath(str(path), str(path.storage_object.query), path.storage_object.provider)
        for path in paths
        if is_grid_path(path)
    }
    return list(found.values())


def grid_outputs(job: Any) -> list[GridPath]:
    """Return the outputs of a job that go to the grid, its benchmark included.

    Snakemake 9.27 looks for the benchmark in the storage, and for logs nowhere.
    """
    return grid_paths([*job.output, *([job.benchmark] if job.benchmark else [])])


def impossible(job: Any) -> Iterator[str]:
    """Yield what cannot be done with outputs on the grid, for messages."""
    for path in job.output:
        if not is_grid_path(path):
            continue
        query = path.storage_object.query
        if query.startswith(("https:", "http:")):
            yield (
                f"output {query} cannot be written: no token or proxy is sent to such a URL; "
                "write davs:// for a WebDAV server that takes yours"
            )
        if path.is_directory:
            yield f"output {query} is a directory(), and only files can be on the grid"
        for flag, why in (
            ("protected", "the file catalogs have no such permission"),
            ("update", "a file on the grid cannot be changed in its place"),
            ("pipe", "it never leaves the worker node"),
            ("service", "it never leaves the worker node"),
        ):
            if path.flags.get(flag):
                yield f"output {query} cannot be {flag}(): {why}"


def answers() -> str:
    """Return what file catalogs have said while the workflow was parsed, as JSON; mostly empty."""
    plugin = sys.modules.get(f"{PACKAGE}.provider")
    found = plugin.StorageProvider.answers if plugin is not None else {}
    return json.dumps(found) if found else ""


def plugin_files() -> dict[str, bytes]:
    """Return the plugin's files by their names in the worker program."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return {}
    package = Path(found.origin).parent
    return {
        f"{FOLDER}/{PACKAGE}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*.py"))
    }
