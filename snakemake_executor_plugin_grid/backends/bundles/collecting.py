"""Finds the reports of bundles that have ended, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from .results import MemberResults

_WAIT = 5.0
_AT_A_TIME = 8


class Collecting:
    """Asks for reports in the background: the states of other jobs do not wait for long."""

    def __init__(self, results: MemberResults) -> None:
        """Ask for nothing yet.

        Args:
            results: Where reports are.
        """
        self._results = results
        self._tasks: dict[str, asyncio.Task[set[str]]] = {}
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    async def reported(
        self, ended: Mapping[str, tuple[str, Collection[str]]]
    ) -> dict[str, asyncio.Task[set[str]]]:
        """Return by bundle the finished task, whose result is which jobs have reports.

        A bundle that is not in the answer has to be asked for again.

        Args:
            ended: Name and open jobs of each bundle, by its id.
        """
        for bundle_id, (bundle, jobs) in ended.items():
            if bundle_id not in self._tasks:
                asking = self._collect(bundle, bundle_id, jobs)
                self._tasks[bundle_id] = asyncio.ensure_future(asking)
        if ended:
            await asyncio.wait([self._tasks[one] for one in ended], timeout=_WAIT)
        done = [one for one in ended if self._tasks[one].done()]
        return {one: self._tasks.pop(one) for one in done}

    async def _collect(self, bundle: str, bundle_id: str, jobs: Collection[str]) -> set[str]:
        async with self._slots:
            return await self._results.collect(bundle, bundle_id, jobs)

    def close(self) -> None:
        """Ask no more."""
        for task in self._tasks.values():
            task.cancel()
