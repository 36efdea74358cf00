"""Placeholders, which are there while Snakemake parses the workflow, and gone while a job runs."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

LIST_FILE = "placeholders.json"
"""Path, size in bytes and time in ns of each."""


class Placeholders:
    """The placeholders of a job; ``worker/placeholders.py`` made them."""

    def __init__(self, folder: str) -> None:
        """Read the list.

        Args:
            folder: Holds `LIST_FILE`.
        """
        self._files: list[tuple[str, int, int]] = json.loads(Path(folder, LIST_FILE).read_text())

    def remove(self) -> None:
        """Remove those that are still as they were made."""
        for path, size, mtime_ns in self._files:
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
                    os.unlink(path)  # noqa: PTH108

    def restore(self) -> None:
        """Make those that are missing: a process of its own parses the workflow once more."""
        for path, size, mtime_ns in self._files:
            with contextlib.suppress(OSError):  # then the comparison finds the difference
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0)
                try:
                    os.ftruncate(fd, size)
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                finally:
                    os.close(fd)
