"""Placeholders that must be gone while a job runs, because its user may read every file."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

LIST_FILE = "placeholders.json"
"""Path, size in bytes and time in ns of each; there is none if their mode keeps readers out."""


class Placeholders:
    """The placeholders of a job whose user is root: see ``worker/placeholders.py``."""

    def __init__(self, folder: str) -> None:
        """Read the list.

        Args:
            folder: May hold `LIST_FILE`.
        """
        self._files: list[tuple[str, int, int]] = []
        with contextlib.suppress(FileNotFoundError):
            self._files = [tuple(file) for file in json.loads(Path(folder, LIST_FILE).read_text())]

    def remove(self) -> None:
        """Remove those that are still as they were made."""
        for path, size, mtime_ns in self._files:
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
                    os.unlink(path)  # noqa: PTH108

    def restore(self) -> None:
        """Make those that are missing: this process parses the workflow once more."""
        for path, size, mtime_ns in self._files:
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0)
                try:
                    os.ftruncate(fd, size)
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                finally:
                    os.close(fd)
