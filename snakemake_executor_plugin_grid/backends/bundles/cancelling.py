"""Cancels bundles of which no job is wanted, and jobs of others that have not begun."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from ...model.errors import GridError
from ...model.names import member_id, split_id
from ...resilience.calls import in_words, with_timeout
from ..base import Backend
from .cancel_lists import CancelLists
from .registry import BundleRegistry

_TIMEOUT = 20.0
"""Seconds for the store: Ctrl-C waits for a minute."""


class Cancelling:
    """Cancels jobs, and tells which are not confirmed to be cancelled."""

    def __init__(
        self,
        backend: Backend,
        registry: BundleRegistry,
        reported: Mapping[str, Collection[str]],
        lists: CancelLists | None,
        say: Callable[[str], None],
    ) -> None:
        """Cancel nothing yet.

        Args:
            backend: Runs the bundles.
            registry: Knows which job is in which bundle.
            reported: Jobs whose reports have been seen, by the id of the bundle.
            lists: Tell the workers; None if these read nothing while they run.
            say: Shows a line to the user.
        """
        self._backend = backend
        self._registry = registry
        self._reported = reported
        self._lists = lists
        self._say = say

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs; see `Backend.cancel`.

        A job of a bundle that goes on is confirmed to be cancelled when its report has been seen.
        """
        alone = {grid_id for grid_id in ids if not split_id(grid_id)[1]}
        bundles: dict[str, set[str]] = {}
        for grid_id in set(ids) - alone:
            bundle_id, job = split_id(grid_id)
            bundles.setdefault(bundle_id, set()).add(job)
        wanted = {one: self._others(one, jobs) for one, jobs in bundles.items()}
        whole = {one for one in bundles if not wanted[one]}
        left = await self._kill(alone | whole)
        # Then, as it waits for the store.
        going_on = [one for one in bundles if one not in whole]
        listed = await asyncio.gather(*(self._list(one, bundles[one]) for one in going_on))
        unwanted = {one for one, jobs in zip(going_on, listed, strict=True) if jobs >= wanted[one]}
        left |= await self._kill(unwanted)
        unconfirmed = left & alone
        for bundle_id, jobs in bundles.items():
            if bundle_id in whole | unwanted:
                open_jobs = jobs if bundle_id in left else set()
            else:
                open_jobs = jobs.difference(self._over(bundle_id))
            unconfirmed |= {member_id(bundle_id, job) for job in open_jobs}
        return unconfirmed

    async def _kill(self, ids: Collection[str]) -> set[str]:
        return await self._backend.cancel(ids) if ids else set()

    def _over(self, bundle_id: str) -> Collection[str]:
        return self._reported.get(bundle_id, ())

    def _others(self, bundle_id: str, jobs: set[str]) -> set[str]:
        """Return the jobs of a bundle that may be wanted, besides some."""
        bundle = self._registry.bundle_of(next(iter(jobs))) or ""
        return set(self._registry.jobs_of(bundle)).difference(jobs, self._over(bundle_id))

    async def _list(self, bundle_id: str, jobs: set[str]) -> set[str]:
        """Put jobs on the list of their bundle; return all jobs on it."""
        bundle = self._registry.bundle_of(next(iter(jobs))) or ""
        new = jobs.difference(self._over(bundle_id))
        if self._lists is None or not new:
            return set()
        try:
            return await with_timeout(self._lists.add(bundle, new), _TIMEOUT)
        except (GridError, OSError) as error:
            self._say(f"The worker of bundle {bundle} does not hear of this: {in_words(error)}")
            return set()
