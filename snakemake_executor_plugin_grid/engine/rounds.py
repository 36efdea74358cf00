"""Decides about which jobs the server is asked in a poll round, if they are too many for one."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping

from ..model.errors import GridError
from ..model.names import split_id
from ..model.state import JobState
from ..model.tracked import TrackedJob
from ..resilience.threads import in_thread
from .context import RunContext


class Rounds:
    """Chooses for each round as many grid jobs as the backend takes, so that its calls are few.

    First come jobs that were never asked about. Half of the other places are for running jobs that
    end next, by what earlier jobs of their rule took; the others are asked about in turn.
    """

    def __init__(self, context: RunContext) -> None:
        """Begin.

        Args:
            context: Of the run.
        """
        self._context = context
        self._round = 0
        self._asked: dict[str, int] = {}
        self._running: dict[str, float] = {}

    async def choose(self, followed: Mapping[str, TrackedJob]) -> Mapping[str, TrackedJob]:
        """Return the jobs to ask about.

        Args:
            followed: All jobs on the grid, by their ids there. Jobs of a bundle count once.
        """
        most = self._context.backend.states_per_round
        if most is None or len(followed) <= most:
            return followed
        groups: dict[str, list[TrackedJob]] = {}
        for grid_id, job in followed.items():
            groups.setdefault(split_id(grid_id)[0], []).append(job)
        self._round += 1
        self._asked = {one: self._asked.get(one, 0) for one in groups}
        ends = await self._ends(groups)
        in_turn = sorted(groups, key=self._asked.__getitem__)
        unseen = [one for one in in_turn if not all(job.seen for job in groups[one])]
        now = self._context.clock.monotonic()
        due = [one for one in sorted(ends, key=ends.__getitem__) if ends[one] <= now]
        chosen = dict.fromkeys(unseen[:most])
        chosen |= dict.fromkeys(due[: max(0, most - len(chosen)) // 2])
        for one in in_turn:
            if len(chosen) >= most:
                break
            chosen[one] = None
        self._asked.update(dict.fromkeys(chosen, self._round))
        return {grid_id: job for grid_id, job in followed.items() if split_id(grid_id)[0] in chosen}

    async def _ends(self, groups: Mapping[str, list[TrackedJob]]) -> dict[str, float]:
        """Return when running jobs will end, on the monotonic clock; of a bundle, its first."""
        now = self._context.clock.monotonic()
        running = {
            one: job
            for one, jobs in groups.items()
            for job in jobs
            if job.status.state is JobState.RUNNING
        }
        self._running = {one: self._running.get(one, now) for one in running}
        usual: Mapping[str, float] = {}
        with contextlib.suppress(GridError):  # then all are asked about in turn
            rules = {job.spec.rule for job in running.values()}
            usual = await in_thread(self._context.journal.durations, rules)
        ends = {
            one: self._running[one] + usual.get(job.spec.rule, math.inf)
            for one, job in running.items()
        }
        return {one: end for one, end in ends.items() if end < math.inf}
