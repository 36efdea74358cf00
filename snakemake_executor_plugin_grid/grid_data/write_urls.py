"""Under which URLs jobs write new files, asked for many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

from .lookup import Lookup

_PER_CALL = 250


class WriteUrls:
    """The URLs of new files. Methods may be called from any thread."""

    def __init__(self, ask: Callable[[Collection[str]], Mapping[str, str]], lookup: Lookup) -> None:
        """Know none yet.

        Args:
            ask: Returns the URL of each file; raises a GridError.
            lookup: Knows which files do not exist: most of them will be written.
        """
        self._ask = ask
        self._lookup = lookup
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the URL of a file, and ask for those of others that do not exist.

        Raises:
            GridError: The catalog does not answer, or there is no URL.
        """
        with self._lock:
            if name not in self._known:
                others = (
                    other
                    for other, facts in self._lookup.everything().items()
                    if facts is None and other != name and other not in self._known
                )
                self._known.update(self._ask([name, *others][:_PER_CALL]))
            return self._known[name]
