"""The provider where a worker runs Snakemake: the submit host knows the files.

Only jobs with ``run:`` and a few others need Snakemake there. Inputs have been fetched when it
starts; outputs are stored when it has ended. No catalog is asked, and no client is needed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Optional

VARIABLE = "SNAKEMAKE_GRID_FILES_OF_JOB"
"""Names a JSON file: ``files`` with size and time of the inputs by query, ``answers`` with what
catalogs have said while the workflow was parsed. The worker writes it."""


class Facts(NamedTuple):
    """What is known of a file; as ``FileFacts`` of the executor plugin, which may not be there."""

    size: int
    mtime: float
    adler32: str = ""


class FilesOfJob:
    """The files of the job that this process runs."""

    def __init__(self, path: Path) -> None:
        """Read the JSON file."""
        found: dict[str, Any] = json.loads(path.read_text())
        self._files = {query: Facts(size, mtime) for query, (size, mtime) in found["files"].items()}
        self.answers: dict[str, list[str]] = found["answers"]

    @classmethod
    def here(cls) -> Optional[FilesOfJob]:  # noqa: UP045
        """Return those of this process; None on the submit host."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path)) if path else None

    def facts(self, query: str, local: Path) -> Facts | None:
        """Return what is known of a file; an output exists when its local copy does."""
        if query in self._files:
            return self._files[query]
        try:
            status = local.stat()
        except OSError:
            return None
        return Facts(status.st_size, status.st_mtime)
