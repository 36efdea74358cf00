"""Clocks for tests, which do not wait."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import Any

_MOMENT = 0.001
_TURNS = 20


class ManualClock:
    """Goes on when a test says so, and while a thread waits for the event loop."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._epoch = time.time() - self._now
        self._lock = threading.Lock()
        self._count = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self._epoch + self._now

    def monotonic(self) -> float:
        return self._now

    @property
    def sleepers(self) -> int:
        """How many coroutines sleep."""
        with self._lock:
            return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            heapq.heappush(self._sleepers, (self._now + seconds, next(self._count), future))
        await future

    def advance(self, seconds: float) -> None:
        """Let some time pass, and wake who has slept until then."""
        with self._lock:
            self._now += seconds
            due = []
            while self._sleepers and self._sleepers[0][0] <= self._now:
                due.append(heapq.heappop(self._sleepers)[2])
        for future in due:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                future.get_loop().call_soon_threadsafe(_wake, future)

    def wait(self, future: Future[Any], seconds: float) -> None:
        wait_for_futures([future], _MOMENT)
        if not future.done():
            self.advance(seconds)


class VirtualClock:
    """For one event loop: jumps to the time at which the first sleeper wakes.

    Attributes:
        now: The time.
        slept: The seconds of all sleeps that were begun.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._due: list[float] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due = self.now + seconds
        self.slept.append(seconds)
        self._due.append(due)
        try:
            while self.now < due:
                for _ in range(_TURNS):  # whoever can go on without waiting does so first
                    await asyncio.sleep(0)
                if due == min(self._due):
                    self.now = due
        finally:
            self._due.remove(due)

    def wait(self, future: Future[Any], seconds: float) -> None:
        raise NotImplementedError


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
