"""What the paths of a job are on the worker, and which files have to travel for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from ...worker.description import WORKDIR

SOURCES = ".snakemake/grid-sources"
"""Folder on the worker for copies of files of ``workflow.source_path``."""


class Paths:
    """Translates the paths of one job.

    Attributes:
        files: Files that have to travel besides inputs: path on the worker, relative to the working
            directory; absolute path on the submit host.
    """

    def __init__(self, translate: Callable[[str], str], caches: Iterable[Any]) -> None:
        """Begin with no files.

        Args:
            translate: Returns what stands for an absolute path below the working directory, and
                another path as it is.
            caches: Folders in which Snakemake keeps copies of source files.
        """
        self._translate = translate
        self.caches = tuple(str(cache) for cache in caches if cache)
        self.files: dict[str, str] = {}

    def on_worker(self, path: str) -> str:
        """Return a path as the job finds it on the worker, with marks.

        A relative path is returned as it is, as is an absolute one elsewhere. A file of Snakemake's
        source cache gets a place of its own below the working directory, and is one of `files`.
        """
        if not path.startswith("/"):
            return path
        for cache in self.caches:
            if path.startswith(cache + "/"):
                return f"{WORKDIR}/{self._copy(path, os.path.relpath(path, cache))}"
        return self._translate(path)

    def _copy(self, path: str, inside: str) -> str:
        # Snakemake names the folder of the cache anew in each run, but not what lies in it.
        digest = hashlib.sha256(inside.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        name = f"{SOURCES}/{digest}/{os.path.basename(path)}"  # noqa: PTH119 - text only
        self.files[name] = path
        return name
