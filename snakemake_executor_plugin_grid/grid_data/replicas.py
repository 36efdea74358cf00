"""Where files are, asked for many at once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from ..stores.file_catalog import FileCatalog, FileFacts
from .lookup import Lookup

_PER_CALL = 1000


class Replicas:
    """The replicas of files that a `Lookup` has found. Methods may be called from any thread."""

    def __init__(self, catalog: FileCatalog, lookup: Lookup) -> None:
        """Know none yet.

        Args:
            catalog: Is asked; it repeats calls that fail for a moment.
            lookup: Knows the files.
        """
        self._catalog = catalog
        self._lookup = lookup
        self._lock = threading.Lock()
        # With the facts of the file: a new file of that name is elsewhere.
        self._known: dict[str, tuple[FileFacts, Mapping[str, str]]] = {}

    def of(self, names: Collection[str]) -> dict[str, Mapping[str, str]]:
        """Return storage elements and URLs, as `FileCatalog.replicas` does.

        The others that the lookup has found are asked for in the same call, as far as there is
        room.

        Raises:
            GridError: The catalog does not answer.
        """
        with self._lock:
            due = [name for name in names if self._answer(name) is None]
            if due:
                self._ask(due)
            return {name: self._answer(name) or {} for name in names}

    def _answer(self, name: str) -> Mapping[str, str] | None:
        """Return the replicas of a file; None if they are not known."""
        facts = self._lookup.found(name)
        if facts is None:
            return {}
        known = self._known.get(name)
        return known[1] if known is not None and known[0] is facts else None

    def _ask(self, due: list[str]) -> None:
        """Ask for files, and for as many others that have been found as cost no call."""
        found = {name: facts for name, facts in self._lookup.everything().items() if facts}
        wanted = frozenset(due)
        others = [name for name in found if name not in wanted and self._answer(name) is None]
        names = due + others[: -len(due) % _PER_CALL]
        for start in range(0, len(names), _PER_CALL):
            answers = self._catalog.replicas(names[start : start + _PER_CALL])
            self._known.update(
                {name: (found[name], answers[name]) for name in answers if name in found}
            )
