"""When files were made again with the content that they had.

Rucio keeps the time at which a name was made. A file that is made again with equal content would
stay older than a new input, and Snakemake would run its job in each run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..journal.catalog import Catalog
from ..journal.database import DATABASE_FILE, open_database
from ..stores.file_catalog import FileFacts
from .removal import open_journal

_SLACK = 10.0
"""Seconds by which two clocks may differ."""


class Remade:
    """The times that runs in this directory have noted. Methods may be called from any thread."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        """Read nothing yet.

        Args:
            folder: This package's own, below the working directory.
            now: Clock.
        """
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._times: dict[str, tuple[float, float]] | None = None

    def adjust(self, name: str, facts: FileFacts) -> FileFacts:
        """Return what is known of a file, with the time at which it was made last."""
        created, made = self._known().get(name, (None, 0.0))
        return replace(facts, mtime=made) if created == facts.mtime else facts

    def note(self, name: str, facts: FileFacts, begun: float) -> FileFacts:
        """Note that a file was made, and return what `adjust` will return.

        Args:
            name: Of the file.
            facts: What the catalog knows of it now, adjusted or not.
            begun: Before it was stored or registered.

        Raises:
            GridError: The journal cannot be written.
        """
        known = self._known()
        created, made = known.get(name, (facts.mtime, None))
        if facts.mtime != made:
            created = facts.mtime
        if created >= begun - _SLACK:
            return facts
        now = self._now()
        with open_journal(self._folder) as database:
            Catalog(database).note_remade(name, created, now)
        with self._lock:
            known[name] = (created, now)
        return replace(facts, mtime=now)

    def _known(self) -> dict[str, tuple[float, float]]:
        with self._lock:
            if self._times is None:
                self._times = {}
                if (self._folder / DATABASE_FILE).exists():
                    with open_database(self._folder, guest=True) as database:
                        self._times = Catalog(database).remade()
            return self._times
