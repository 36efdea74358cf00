"""Cancels the jobs of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, MutableMapping

from ..journal.records import Phase
from ..model.errors import GridError
from ..model.tracked import TrackedJob
from ..resilience.calls import in_words, with_timeout
from ..resilience.threads import in_thread
from .context import RunContext
from .submission import Submission


class Cancellation:
    """Cancels all jobs of a run that have not ended; those that have are being completed."""

    def __init__(
        self, context: RunContext, jobs: MutableMapping[str, TrackedJob], submission: Submission
    ) -> None:
        """Do nothing yet; ``run`` does it.

        Args:
            context: Of the run.
            jobs: All jobs of the run by name; those that are cancelled are removed from it.
            submission: Has been stopped when ``run`` is called.
        """
        self._context = context
        self._jobs = jobs
        self._submission = submission
        self._cancelled = 0

    async def run(self) -> None:
        """Cancel what is on the grid, and what reaches it by submissions that are under way."""
        jobs = self._open()
        tried = {job for job in jobs if job.grid_id is not None}
        await self._note(jobs)
        await self._cancel(tried)
        await self._submission.settled()
        late = {job for job in self._open() if job.grid_id is not None} - tried
        await self._note(late)
        await self._cancel(late)

    def left(self) -> list[str]:
        """Tell the user what was cancelled so far.

        Returns:
            Id and title of each job whose end is not confirmed.
        """
        jobs = self._open()
        waiting = [job for job in jobs if job.grid_id is None]
        unanswered = sum(job.spec.name in self._submission.unanswered for job in waiting)
        counts = {
            "job(s) cancelled": self._cancelled,
            "had not been submitted": len(waiting) - unanswered,
            "may have been submitted: the next run looks for them": unanswered,
        }
        said = [f"{count} {words}" for words, count in counts.items() if count]
        if said:
            self._context.say(f"{', '.join(said)}.")
        return [f"{job.grid_id} ({job.spec.title})" for job in jobs if job.grid_id is not None]

    def _open(self) -> list[TrackedJob]:
        return [job for job in list(self._jobs.values()) if not job.ended]

    async def _note(self, jobs: Collection[TrackedJob]) -> None:
        with contextlib.suppress(GridError):
            await self._context.journal.cancelling([job.spec.name for job in jobs])

    async def _cancel(self, jobs: Collection[TrackedJob]) -> None:
        if not jobs:
            return
        context, names = self._context, {job.grid_id or "": job.spec.name for job in jobs}
        try:
            left = await with_timeout(context.backend.cancel(names), None)
        except Exception as error:
            context.say(f"Cancelling failed: {in_words(error)}")
            return
        over = {grid_id: name for grid_id, name in names.items() if grid_id not in left}
        for job in jobs:
            if job.grid_id in over:
                self._jobs.pop(job.name, None)
        self._cancelled += len(over)
        if over:
            await in_thread(self._end, over.values())
            with contextlib.suppress(Exception):  # it only wastes space
                await with_timeout(context.backend.discard(over))
                await context.journal.discarded(list(over.values()))

    def _end(self, names: Iterable[str]) -> None:
        for name in names:
            _ = self._context.journal.ended(name, Phase.CANCELLED)
            with contextlib.suppress(GridError, OSError):  # it only wastes space
                self._context.stores.results.drop(name)
