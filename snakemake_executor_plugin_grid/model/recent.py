"""A dictionary that does not grow without end in a run of weeks."""

from __future__ import annotations

import threading
from collections.abc import Iterator, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

LIMIT = 100_000
"""Entries: some tens of megabytes."""


class Recent(MutableMapping[K, V]):
    """Forgets its oldest entries; for what can be found out again. Threads may share it."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Start empty.

        Args:
            limit: Number of entries that are kept.
        """
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: dict[K, V] = {}

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = value
            if len(self._entries) > self._limit:
                del self._entries[next(iter(self._entries))]

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __delitem__(self, key: K) -> None:
        with self._lock:
            del self._entries[key]

    def __iter__(self) -> Iterator[K]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
