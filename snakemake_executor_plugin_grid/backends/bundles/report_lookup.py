"""Finds out which jobs of bundles have reports; a slow store does not hold up other jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ...model.errors import GridError, PermanentError
from ...resilience.calls import in_words
from .results import MemberResults

_WAIT = 5.0
_AT_A_TIME = 8


class ReportLookup:
    """Asks in the background; a poll round waits a moment for questions that it has begun."""

    def __init__(self, results: MemberResults, say: Callable[[str], None]) -> None:
        """Ask for nothing yet.

        Args:
            results: Where reports are.
            say: Shows a line to the user.
        """
        self._results = results
        self._say = say
        self._looking: asyncio.Task[set[str]] | None = None
        self._tasks: dict[str, asyncio.Task[set[str]]] = {}
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._away = False

    async def look(self, running: Sequence[Sequence[str]], side_by_side: int) -> set[str]:
        """Return jobs of running bundles whose reports are there; see `MemberResults.reported`.

        A store that does not answer is no outage of the system: then none are.
        """
        if self._looking is None:
            if not running:
                return set()
            self._looking = asyncio.ensure_future(self._results.reported(running, side_by_side))
            await asyncio.wait({self._looking}, timeout=_WAIT)
        if not self._looking.done():
            return set()
        task, self._looking = self._looking, None
        try:
            found = task.result()
        except (GridError, OSError) as error:
            self._tell_away(error)
            return set()
        self._away = False
        return found

    async def collect(
        self, ended: Mapping[str, tuple[str, Collection[str]]]
    ) -> dict[str, set[str]]:
        """Return by bundle the jobs that have reports.

        A bundle that is not in the answer has to be asked for again.

        Args:
            ended: Name and open jobs of each bundle that has ended, by its id.
        """
        begun = [one for one in ended if one not in self._tasks]
        for one in begun:
            self._tasks[one] = asyncio.ensure_future(self._collect(one, *ended[one]))
        if begun:
            await asyncio.wait([self._tasks[one] for one in begun], timeout=_WAIT)
        found: dict[str, set[str]] = {}
        for one in ended:
            if not self._tasks[one].done():
                continue
            try:
                found[one] = self._tasks.pop(one).result()
            except PermanentError as error:
                self._say(
                    f"The results of bundle {ended[one][0]} could not be fetched: {in_words(error)}"
                )
                found[one] = set()
            except (GridError, OSError) as error:  # such as a full disk
                self._tell_away(error)
        return found

    async def _collect(self, bundle_id: str, bundle: str, jobs: Collection[str]) -> set[str]:
        async with self._slots:
            return await self._results.collect(bundle, bundle_id, jobs)

    def _tell_away(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self._say(f"Reports of jobs in bundles cannot be read now: {in_words(error)}")

    def forget(self, bundle_ids: Iterable[str]) -> None:
        """Drop the questions about bundles, such as those that run again."""
        for one in bundle_ids:
            if task := self._tasks.pop(one, None):
                task.cancel()

    def close(self) -> None:
        """Ask no more."""
        self.forget(list(self._tasks))
        if self._looking is not None:
            self._looking.cancel()
