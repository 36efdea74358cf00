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
            found = {name: facts for name, facts in self._lookup.everything().items() if facts}
            due = [name for name in names if not self._is_known(name, found)]
            if due:
                wanted = dict.fromkeys(due)
                others = [n for n in found if n not in wanted and not self._is_known(n, found)]
                due += others[: -len(due) % _PER_CALL]
            for start in range(0, len(due), _PER_CALL):
                answers = self._catalog.replicas(due[start : start + _PER_CALL])
                self._known.update(
                    {name: (found[name], answers[name]) for name in answers if name in found}
                )
            return {name: self._known[name][1] if name in found else {} for name in names}

    def _is_known(self, name: str, found: Mapping[str, FileFacts]) -> bool:
        known = self._known.get(name)
        return name not in found or (known is not None and known[0] is found[name])
