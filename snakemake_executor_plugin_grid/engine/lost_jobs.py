"""Jobs that the backend does not list."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ..model.tracked import Outcome, TrackedJob
from .completion import Completion
from .context import RunContext
from .outcomes import Outcomes


class LostJobs:
    """Fails jobs that were not listed for a time; before that they are unknown."""

    def __init__(
        self,
        context: RunContext,
        limit: float,
        outcomes: Outcomes,
        completion: Completion,
        end: Callable[[TrackedJob, Outcome], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Fail the jobs of a run.

        Args:
            context: Of the run.
            limit: The time in seconds.
            outcomes: Records the ends of jobs.
            completion: Cancels those that come back.
            end: Reports the outcome of a job.
            spawn: Runs a coroutine in the background.
        """
        self._context = context
        self._limit = limit
        self._outcomes = outcomes
        self._completion = completion
        self._end = end
        self._spawn = spawn

    def miss(self, job: TrackedJob) -> None:
        """Note that a job was not listed.

        One answer is not enough: of many jobs, each may be asked about less often than the limit.
        """
        job.missed += 1
        silent = self._context.clock.monotonic() - job.named
        if silent > self._limit and job.missed > 1:
            job.ended = True
            self._spawn(self._lose(job, silent))

    async def _lose(self, job: TrackedJob, silent: float) -> None:
        reason = f"{self._context.backend.name} has not listed it for {silent:.0f} s"
        self._end(job, await self._outcomes.fail(job, reason))
        await self._completion.cancel(job.grid_id or "")
