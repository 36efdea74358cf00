"""Decides when the backend may be asked for the states of jobs again."""

from __future__ import annotations

import math

from ..resilience.clock import Clock

_PAUSE_PER_CALL = 20
_MOST_INTERVALS = 20  # for a slow server


class PollTimer:
    """Keeps an interval between two calls, and a longer one if the server is slow."""

    def __init__(self, clock: Clock, longest_pause: float = math.inf) -> None:
        """Let the first call be made at once.

        Args:
            clock: Measures time.
            longest_pause: Seconds between two calls, at most.
        """
        self._clock = clock
        self._longest_pause = longest_pause
        self._next = -math.inf

    @property
    def left(self) -> float:
        """Seconds until the next call."""
        return max(0.0, self._next - self._clock.monotonic())

    def answered(self, began: float, interval: float) -> None:
        """Note that the backend has answered.

        Args:
            began: When the call began, by the clock.
            interval: Seconds between two calls, at least.
        """
        now = self._clock.monotonic()
        slow = min(_PAUSE_PER_CALL * (now - began), _MOST_INTERVALS * interval)
        self._next = now + min(max(interval, slow), self._longest_pause)
