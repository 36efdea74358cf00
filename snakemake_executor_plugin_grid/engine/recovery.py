"""Jobs that earlier runs have left on the grid: what this run needs of them, it takes over."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..journal.writer import OpenJob, Phase, output_names
from ..model.errors import EndingError, GridError
from ..model.state import UNKNOWN, JobState, JobStatus
from ..model.tracked import TrackedJob
from ..resilience.calls import in_words, with_timeout
from .completion import in_pool

if TYPE_CHECKING:
    from .context import Parts

_LOOK_AGAIN = 5.0
_BY_NAME = "jobs by name"


@dataclass(frozen=True)
class Candidate:
    """A job of an earlier run that the backend still has.

    Attributes:
        left: What the journal says of it.
        grid_id: The id that the backend gave it, asked for by its unique name.
        status: What the backend says of it.
    """

    left: OpenJob
    grid_id: str
    status: JobStatus


class Recovery:
    """Knows the jobs that earlier runs have left, and hands each to the job that it is."""

    def __init__(self, parts: Parts) -> None:
        """Use the parts of a controller.

        Args:
            parts: The parts.
        """
        self._parts = parts
        self._candidates: dict[str, Candidate] = {}
        self._adopting = asyncio.Lock()
        self._makers: dict[str, set[str]] = defaultdict(set)

    async def look(self) -> None:
        """Find out which jobs of earlier runs the backend has.

        Raises:
            GridError: It does not say so for longer than the user wants to wait.
        """
        parts = self._parts
        await self._sweep()
        left = parts.journal.left()
        if not left:
            return
        found = await self._find(left)
        statuses: Mapping[str, JobStatus] = {}
        if found:
            statuses = await parts.outages.call(
                "the states of jobs", lambda: parts.backend.states(list(found.values()))
            )
        unwanted: list[Candidate] = []
        lost: list[OpenJob] = []
        for job in left:
            grid_id = found.get(job.name)
            if grid_id is None:
                lost.append(job)
                continue
            candidate = Candidate(job, grid_id, statuses.get(grid_id, UNKNOWN))
            if not job.identity or job.phase is Phase.CANCELLING:
                unwanted.append(candidate)
                continue
            self._candidates[job.name] = candidate
            for key in _keys(job.outputs, job.rule, job.wildcards):
                self._makers[key].add(job.name)
        await self._lose(lost)
        await self._cancel(unwanted, "that it could not cancel any more, or of a former version")

    async def _sweep(self) -> None:
        """Tell the backend of jobs that are over, where an earlier run died before."""
        names = self._parts.journal.kept()
        if names:
            with contextlib.suppress(Exception):  # it only costs room
                found = set((await self._ask(names)).values())
                if found:
                    await with_timeout(self._parts.backend.discard(found))
                await self._write(self._parts.journal.discarded, names)

    async def _find(self, left: Sequence[OpenJob]) -> dict[str, str]:
        """Ask for jobs by their unique names, and once more for those that may be on their way."""
        parts = self._parts
        names = [job.name for job in left]
        found = dict(await self._ask(names))
        unanswered = [job for job in left if job.grid_id is None]
        last = max((job.changed for job in unanswered), default=0.0)
        # A clock that was set back must not make this longer.
        until = min(last, time.time()) + parts.backend.settle_seconds
        told = False
        while True:
            unsure = [job.name for job in unanswered if job.name not in found]
            if not unsure or time.time() > until:
                return found
            if not told:
                told = True
                parts.say(
                    f"{len(unsure)} job(s) of an earlier run may be on their way to "
                    f"{parts.backend.name} yet: looking for them for up to "
                    f"{until - time.time():.0f} s."
                )
            await asyncio.sleep(_LOOK_AGAIN)
            found |= await self._ask(unsure)

    async def _ask(self, names: Collection[str]) -> Mapping[str, str]:
        parts = self._parts
        return await parts.outages.call(_BY_NAME, lambda: parts.backend.find(names))

    async def _lose(self, jobs: Sequence[OpenJob]) -> None:
        """Note that there is nothing of some jobs on the grid."""
        parts = self._parts
        for job in jobs:
            if job.phase is Phase.OUTPUTS_INSTALLED:
                await self._write(parts.journal.noted, [job.name])
            else:
                reason = f"{parts.backend.name} has no such job"
                await self._write(parts.journal.ended, job.name, Phase.CANCELLED, reason)
            await self._drop(job)
        if jobs:
            with contextlib.suppress(Exception):  # it only costs room
                await with_timeout(parts.backend.forget([job.name for job in jobs]))

    @property
    def left(self) -> list[str]:
        """Of each job that this run has not taken over, its id and title."""
        return [
            f"{candidate.grid_id} ({candidate.left.title})"
            for candidate in self._candidates.values()
            if not candidate.status.state.ended
        ]

    def attempt(self, outputs: Sequence[str], rule: str, wildcards: str) -> int:
        """Return at which attempt of Snakemake's a job is that may be adopted; 1 if none may.

        Args:
            outputs: Names of what it makes.
            rule: Its rule.
            wildcards: JSON text of names and values.
        """
        known = self._of(outputs, rule, wildcards)
        return max((candidate.left.attempt for candidate in known), default=1)

    async def settle(
        self, needed: Collection[str], unnoted: Callable[[Iterable[str]], bool]
    ) -> None:
        """Deal with jobs that this run does not need.

        Args:
            needed: Names of all outputs that have to be made, as far as that is known.
            unnoted: Returns whether Snakemake has not noted that some outputs are complete.
        """
        wanted = set(needed)
        noted: list[Candidate] = []
        others: list[Candidate] = []
        for candidate in self._candidates.values():
            outputs = candidate.left.outputs
            if outputs and wanted.isdisjoint(outputs):
                # Snakemake may have noted its success before the earlier run died.
                knows = candidate.left.phase is Phase.OUTPUTS_INSTALLED and not unnoted(outputs)
                (noted if knows else others).append(candidate)
        if noted:
            await self._write(self._parts.journal.noted, [one.left.name for one in noted])
            await self._discard(noted)
            self._forget(noted)
        elsewhere = self._parts.journal.left_elsewhere()
        for backend, count in elsewhere.items():
            self._parts.say(
                f"{count} job(s) of earlier runs are on {backend}, which this run does not reach: "
                "they stay as they are (snakemake-grid cancel ends them)."
            )
        if others:
            self._parts.say(
                f"{len(others)} job(s) of earlier runs are on the grid that this run does not "
                "need: they stay as they are (snakemake-grid status shows them, snakemake-grid "
                "cancel ends them)."
            )

    async def adopt(self, jobs: Sequence[TrackedJob]) -> list[TrackedJob]:
        """Take over the jobs that are on the grid already; cancel those that have changed.

        Returns:
            The jobs that have to be submitted.
        """
        if not self._candidates:
            return list(jobs)
        async with self._adopting:
            return await self._adopt(jobs)

    async def _adopt(self, jobs: Sequence[TrackedJob]) -> list[TrackedJob]:
        adopted: dict[TrackedJob, Candidate] = {}
        others: dict[str, Candidate] = {}
        for job in jobs:
            spec = job.spec
            known = self._of(output_names(spec), spec.rule, json.dumps(dict(spec.wildcards)))
            same = [one for one in known if one.left.identity == job.plan.identity]
            if same:
                # What has come furthest: more than one is there only after a fault.
                adopted[job] = max(same, key=_progress)
            others |= {one.left.name: one for one in known if one is not adopted.get(job)}
        await self._confirm(adopted)
        for job, candidate in adopted.items():
            job.spec = replace(job.spec, name=candidate.left.name)
            job.origin, job.adopted = candidate.left.origin, True
            job.faults = job.charged = _faults(candidate.left)
            job.grid_id, job.named = candidate.grid_id, time.monotonic()
        if adopted:
            ended = sum(candidate.status.state.ended for candidate in adopted.values())
            self._parts.say(
                f"Going on with {len(adopted)} job(s) of an earlier run: {len(adopted) - ended} on "
                f"the grid, {ended} that have ended meanwhile."
            )
        self._forget([*adopted.values(), *others.values()])
        await self._cancel(
            list(others.values()), "whose rule, inputs or parameters have changed since"
        )
        return [job for job in jobs if job not in adopted]

    async def _confirm(self, adopted: Mapping[TrackedJob, Candidate]) -> None:
        """See to it that jobs run whose submission was not finished, and note all."""
        parts = self._parts
        unsure = [one.left.name for one in adopted.values() if one.left.phase is Phase.SUBMITTING]
        if unsure:
            await parts.outages.call(_BY_NAME, lambda: parts.backend.adopt(unsure))
        await self._write(
            parts.journal.adopted,
            {
                candidate.left.name: (candidate.grid_id, job.spec.jobid)
                for job, candidate in adopted.items()
            },
        )

    def _of(self, outputs: Iterable[str], rule: str, wildcards: str) -> list[Candidate]:
        names = {
            name for key in _keys(outputs, rule, wildcards) for name in self._makers.get(key, ())
        }
        return [self._candidates[name] for name in sorted(names) if name in self._candidates]

    def _forget(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self._candidates.pop(candidate.left.name, None)

    async def _cancel(self, candidates: Sequence[Candidate], which: str) -> None:
        if not candidates:
            return
        parts = self._parts
        parts.say(f"Cancelling {len(candidates)} job(s) of an earlier run {which}.")
        names = [candidate.left.name for candidate in candidates]
        await self._write(parts.journal.cancelling, names)
        ids = {candidate.grid_id for candidate in candidates}
        left = ids
        try:
            left = await parts.outages.call("cancelling", lambda: parts.backend.cancel(ids))
        except EndingError:
            raise
        except (Exception, SystemExit) as error:
            parts.say(f"Cancelling failed: {in_words(error)}")
        await self._end([one for one in candidates if one.grid_id not in left], which)
        if left:
            parts.say(
                f"Not confirmed to be cancelled: {', '.join(sorted(left))}. The next run tries it "
                "again."
            )

    async def _end(self, candidates: Sequence[Candidate], which: str) -> None:
        """Note that jobs were cancelled, and let go of what is left of them."""
        reason = f"cancelled by a later run, as one {which}"
        for candidate in candidates:
            await self._write(
                self._parts.journal.ended, candidate.left.name, Phase.CANCELLED, reason
            )
        await self._discard(candidates)

    async def _discard(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            await self._drop(candidate.left)
        if candidates:
            with contextlib.suppress(Exception):  # it only costs room
                await with_timeout(self._parts.backend.discard([one.grid_id for one in candidates]))
                await self._write(
                    self._parts.journal.discarded, [one.left.name for one in candidates]
                )

    async def _drop(self, job: OpenJob) -> None:
        with contextlib.suppress(GridError, OSError):  # it only costs room
            await in_pool(self._parts, self._parts.stores.results.drop, job.name)

    async def _write(self, change: Callable[..., None], *args: object) -> None:
        """Write to the journal, as soon as there is room on the disk."""
        parts = self._parts
        await parts.outages.here(lambda: in_pool(parts, change, *args))


def _keys(outputs: Iterable[str], rule: str, wildcards: str) -> list[str]:
    """Return what tells a job from the others of a workflow: its outputs, if it has any."""
    return list(outputs) or [f"{rule} {wildcards}"]


def _progress(candidate: Candidate) -> tuple[bool, ...]:
    state = candidate.status.state
    return tuple(state is one for one in (JobState.DONE, JobState.RUNNING, JobState.QUEUED))


def _faults(left: OpenJob) -> int:
    """Return how often the infrastructure had failed a job before, which its name tells."""
    count = left.name.removeprefix(f"{left.origin}.")
    return int(count) if count.isdecimal() else 0
