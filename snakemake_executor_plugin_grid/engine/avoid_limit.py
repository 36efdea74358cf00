"""Resubmits jobs that wait for too long while they avoid sites."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

from ..console.format import duration, listed
from ..journal.records import Phase
from ..model.errors import GridError
from ..model.state import JobState
from ..model.tracked import TrackedJob
from ..resilience.calls import PASSING, with_timeout
from .context import RunContext

_WAITING = (JobState.QUEUED, JobState.HELD, JobState.AT_SITE)


class AvoidLimit:
    """Limits how long a job may wait while it avoids sites: the others may never run it.

    Attributes:
        releasing: Jobs that are being cancelled, to be submitted again; not followed meanwhile.
    """

    def __init__(
        self,
        context: RunContext,
        seconds: float,
        drop: Callable[[Collection[TrackedJob]], Coroutine[Any, Any, None]],
        resubmit: Callable[[TrackedJob], None],
    ) -> None:
        """Watch no job yet.

        Args:
            context: Of the run.
            seconds: The limit.
            drop: Releases what the grid and the store keep for jobs.
            resubmit: Resubmits a job.
        """
        self._context = context
        self._seconds = seconds
        self._drop = drop
        self._resubmit = resubmit
        self.releasing: set[TrackedJob] = set()

    def exceeded(self, jobs: Iterable[TrackedJob]) -> list[TrackedJob]:
        """Return the jobs that have waited for too long: `release` them."""
        now, found = self._context.clock.monotonic(), []
        for job in jobs:
            if job.ended or job.status.state not in _WAITING:
                job.waits_since = now
            elif job.avoids and now - job.waits_since > self._seconds:
                found.append(job)
        self.releasing.update(found)
        return found

    async def release(self, jobs: Collection[TrackedJob]) -> None:
        """Cancel jobs, and submit them again without sites to avoid.

        One that is not confirmed to be cancelled stays as it is until the limit is exceeded again.
        When the run is ending, whatever ends it decides about these jobs.
        """
        try:
            await self._release(jobs)
        finally:
            self.releasing.difference_update(jobs)

    async def _release(self, jobs: Collection[TrackedJob]) -> None:
        context = self._context
        left = {job.grid_id for job in jobs}
        with contextlib.suppress(GridError, *PASSING):
            # Before the call: if this process dies, the next run cancels them.
            await context.record(context.journal.cancelling, [job.spec.name for job in jobs])
            left &= await with_timeout(context.backend.cancel([job.grid_id or "" for job in jobs]))
        if context.outages.stopped:
            return
        for job in jobs:
            if job.grid_id in left:
                job.waits_since = context.clock.monotonic()
        released = [job for job in jobs if job.grid_id not in left]
        if not released:
            return
        sites = listed(sorted(frozenset().union(*(job.avoids for job in released))))
        reason = f"waited for {duration(self._seconds)} while it avoided {sites}"
        for job in released:
            with contextlib.suppress(GridError):  # the next run finds that it is cancelled
                await context.journal.ended(job.spec.name, Phase.CANCELLED, reason)
        await self._drop(released)
        if context.outages.stopped:
            return
        context.say(
            f"{len(released)} job(s) have waited for {duration(self._seconds)} while they avoid "
            f"{sites}: resubmitting them without this (--grid-avoid-limit)."
        )
        for job in released:
            job.submit_again(costs=False, anywhere=True)
            self._resubmit(job)
