"""Time and waiting, behind an interface that tests replace."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_futures
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def time(self) -> float:
        """Return the seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that only increase."""

    async def sleep(self, seconds: float) -> None:
        """Wait in the event loop."""

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Wait in a thread until a future is done, for some seconds at most."""


class SystemClock:
    """The clock of this computer."""

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only increase."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait in the event loop."""
        await asyncio.sleep(seconds)

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Wait in a thread until a future is done, for some seconds at most."""
        wait_for_futures([future], seconds)


SYSTEM_CLOCK = SystemClock()
