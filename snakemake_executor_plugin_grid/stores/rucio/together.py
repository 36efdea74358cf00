"""Joins questions that several threads ask at the same time into one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Batch(Generic[K, V]):
    keys: dict[K, None] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)
    answer: Mapping[K, V] = field(default_factory=dict)
    error: BaseException | None = None


class Together(Generic[K, V]):
    """While a call is under way, the questions of other threads gather for the next one."""

    def __init__(self, ask: Callable[[Sequence[K]], Mapping[K, V]]) -> None:
        """Ask nothing yet.

        Args:
            ask: Makes a call for several questions; what it raises is raised for each of them.
        """
        self._ask = ask
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._next: _Batch[K, V] | None = None

    def of(self, key: K) -> V:
        """Return the answer to a question."""
        with self._lock:
            batch = self._next
            leads = batch is None
            if batch is None:
                batch = self._next = _Batch()
            batch.keys[key] = None
        if leads:
            self._lead(batch)
        batch.done.wait()
        if batch.error is not None:
            raise batch.error
        return batch.answer[key]

    def _lead(self, batch: _Batch[K, V]) -> None:
        with self._asking:
            with self._lock:
                self._next = None
            try:
                batch.answer = self._ask(list(batch.keys))
            except BaseException as error:
                batch.error = error
            batch.done.set()
