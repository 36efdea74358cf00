"""Knows which jobs left files on their workers that no rule names."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ..journal.writer import Journal

_MOST_NAMES = 200_000


class UndeclaredFiles:
    """Finds the job that made a file which another one misses.

    The journal is read when the first file is looked for. May be used by several threads.
    """

    def __init__(self, journal: Journal) -> None:
        """Look in the journal of a workflow."""
        self._journal = journal
        self._makers: dict[str, str] | None = None
        self._lock = threading.Lock()

    def note(self, title: str, members: Iterable[str]) -> None:
        """Note what a job of this run left, by names in the archives."""
        with self._lock:
            if self._makers is not None and len(self._makers) < _MOST_NAMES:
                self._makers.update(dict.fromkeys(members, title))

    def maker(self, member: str) -> str:
        """Return the title of the last job that left a file, empty if none is known."""
        with self._lock:
            if self._makers is None:
                self._makers = {
                    name: title
                    for title, names in reversed(self._journal.undeclared())
                    for name in names
                }
            return self._makers.get(member, "")
