"""Cancels bundles of which no job is wanted, and jobs of others that have not begun."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ...model.errors import GridError
from ...model.names import member_id, split_id
from ...resilience.calls import in_words
from ..base import Backend
from .cancel_lists import CancelLists
from .registry import BundleRegistry


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
        whole = {one for one, jobs in bundles.items() if not await self._others(one, jobs)}
        left = await self._backend.cancel(alone | whole) if alone or whole else set()
        unconfirmed = left & alone
        for bundle_id, jobs in bundles.items():
            if bundle_id not in whole:
                open_jobs = jobs.difference(self._reported.get(bundle_id, ()))
            else:
                open_jobs = jobs if bundle_id in left else set()
            unconfirmed |= {member_id(bundle_id, job) for job in open_jobs}
        return unconfirmed

    async def _others(self, bundle_id: str, jobs: set[str]) -> set[str]:
        """Put jobs on the list of their bundle; return its jobs that are wanted."""
        bundle = self._registry.bundle_of(next(iter(jobs))) or ""
        over = self._reported.get(bundle_id, ())
        others = set(self._registry.jobs_of(bundle)).difference(jobs, over)
        new = jobs.difference(over)
        if self._lists is None or not others or not new:
            return others
        try:
            return others - await self._lists.add(bundle, new)
        except (GridError, OSError) as error:
            self._say(f"The worker of bundle {bundle} does not hear of this: {in_words(error)}")
            return others
