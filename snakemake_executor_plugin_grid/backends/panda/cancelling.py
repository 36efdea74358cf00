"""Cancels jobs of tasks: a whole task where possible, since that costs one call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping

from ...console import error_log
from ...model.errors import GridError, PermanentError
from .client import Client
from .following import Following, Wanted
from .job_sample import JobSample
from .replies import UnknownTaskError
from .routes import Route, Task
from .task_registry import TaskRegistry

CANCEL_LIMIT = 45.0
"""Seconds for cancelling, whatever the number of jobs: less than any caller waits."""
_PAUSE = 1.0
_KILLS = 100  # in one call
_OVER = (
    *("prepared", "done", "finished", "failed", "broken", "tobroken"),
    *("toabort", "aborting", "aborted"),
)
"""States of a task that runs nothing, or soon nothing; it takes no kill then."""


class Cancelling:
    """Cancels jobs, and tells which are not confirmed to be cancelled."""

    def __init__(
        self,
        client: Client,
        route: Route,
        registry: TaskRegistry,
        following: Following,
        sample: JobSample,
        submission: Callable[[str], Awaitable[Task | None]],
        say: Callable[[str], None],
    ) -> None:
        """Cancel nothing yet.

        Args:
            client: Of the server.
            route: By which the tasks were submitted.
            registry: Knows the jobs of each task.
            following: Knows which jobs have ended.
            sample: Knows PandaIDs.
            submission: Returns the outcome of a submission, None if it is unknown.
            say: Shows a line to the user.
        """
        self._client = client
        self._route = route
        self._registry = registry
        self._following = following
        self._sample = sample
        self._submission = submission
        self._say = say

    async def cancel(self, jobs: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
        """Cancel jobs, for a limited time.

        Args:
            jobs: Names of the jobs, by the ids of their submissions.

        Returns:
            The names of those that are not confirmed to be cancelled, by the same ids.
        """
        left = {grid_id: set(names) for grid_id, names in jobs.items()}
        aborted: set[str] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_LIMIT):
                await asyncio.gather(
                    *(
                        self._persist(grid_id, frozenset(names), left[grid_id], aborted)
                        for grid_id, names in jobs.items()
                    )
                )
        if lost := sorted(grid_id for grid_id in aborted if left[grid_id]):
            self._say(
                f"iDDS has accepted the abort of {', '.join(lost)}, but has not ended it: it can "
                "lose aborts, so these jobs may still run."
            )
        return left

    async def _persist(
        self, grid_id: str, names: frozenset[str], left: set[str], aborted: set[str]
    ) -> None:
        """Try again until all ends are confirmed; take confirmed jobs out of ``left``."""
        while True:
            try:
                await self._try(grid_id, names, left, aborted)
            except GridError:
                pass
            except Exception as error:
                error_log.write("cancelling", error)
                return
            if not left:
                return
            await asyncio.sleep(_PAUSE)

    async def _try(
        self, grid_id: str, names: frozenset[str], left: set[str], aborted: set[str]
    ) -> None:
        submission = await self._submission(grid_id)
        title = self._registry.name(grid_id)
        others = set(self._registry.jobs_of(title) if title else ()) - names
        if submission is not None and submission.problem:
            left.clear()  # it has made no task, and will make none
        elif submission is None or submission.number is None:
            # iDDS loses aborts: only a request that is final or has a task gives certainty.
            if not others and grid_id not in aborted:
                await self._route.abort(grid_id)
                aborted.add(grid_id)
        elif others and await self._go_on(submission.number, grid_id, left, others):
            await self._kill_jobs(submission.number, left)
        elif left:
            await self._kill_task(grid_id, submission.number)
            left.clear()

    async def _go_on(self, task: int, grid_id: str, left: set[str], others: set[str]) -> bool:
        """Return whether others of the task have not ended; those of ``left`` are taken out."""
        wanted = Wanted(left | others, self._registry.attempts(grid_id))
        statuses = (await self._following.states({task: wanted})).get(task, {})
        ended = {name for name, status in statuses.items() if status.state.ended}
        left -= ended
        return bool(others - ended)

    async def _kill_task(self, grid_id: str, task: int) -> None:
        """Kill a task; the server does so later, once it has accepted it.

        Raises:
            GridError: It is not accepted.
        """
        try:
            await self._route.kill(grid_id, task)
        except UnknownTaskError:
            raise  # not registered yet
        except PermanentError:
            if await self._client.call("status", task) not in _OVER:
                raise

    async def _kill_jobs(self, task: int, left: set[str]) -> None:
        """Kill jobs whose PandaIDs are known, and look for those of the others."""
        tried: dict[str, int] = {}
        searching = True
        while left and searching:
            numbers = self._sample.numbers(task, left)
            new = [item for item in numbers.items() if item not in tried.items()]
            for some in (new[start : start + _KILLS] for start in range(0, len(new), _KILLS)):
                accepted = await self._client.call("kill_jobs", [number for _, number in some])
                left -= {name for (name, _), good in zip(some, accepted, strict=False) if good}
            tried.update(new)
            searching = bool(left) and await self._sample.search(task)
