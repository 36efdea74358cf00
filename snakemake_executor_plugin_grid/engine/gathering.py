"""Holds jobs back for a moment, so that jobs that become ready one after the other go together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..model.tracked import TrackedJob
from ..resilience.clock import Clock

_QUIET = 2.0
_LONGEST = 30.0
_TICK = 0.1


class Gathering:
    """Submits jobs once no more have come for two seconds, or after half a minute.

    Snakemake hands over 100 jobs a second by default (9.27, ``--max-jobs-per-timespan``).
    """

    def __init__(self, clock: Clock, launch: Callable[[list[TrackedJob]], Awaitable[None]]) -> None:
        """Start with no job.

        Args:
            clock: Tells the time.
            launch: Submits jobs.
        """
        self._clock = clock
        self._launch = launch
        self._jobs: list[TrackedJob] = []
        self._last = 0.0
        self._stopped = False

    async def add(self, jobs: list[TrackedJob]) -> None:
        """Submit jobs; returns at once if a call before this one submits them with its own."""
        first, self._last = not self._jobs, self._clock.monotonic()
        self._jobs += jobs
        if not first:
            return
        limit = self._last + _LONGEST
        while not self._stopped and self._clock.monotonic() < min(self._last + _QUIET, limit):
            await self._clock.sleep(_TICK)
        gathered, self._jobs = self._jobs, []
        await self._launch(gathered)

    def stop(self) -> None:
        """Hold back nothing more. Must be called in the event loop."""
        self._stopped = True
