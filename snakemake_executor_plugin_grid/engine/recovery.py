"""Finds the jobs that earlier runs have left on the grid, and adopts those that this run needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..journal.records import JobRecord, Phase
from ..journal.writer import output_names
from ..model.errors import EndingError, GridError
from ..model.job import JobSpec
from ..model.names import JobName
from ..model.state import UNKNOWN, JobState, JobStatus
from ..model.tracked import Plan, TrackedJob
from ..resilience.calls import in_words, with_timeout
from ..resilience.threads import in_thread
from .context import RunContext

_LOOK_AGAIN = 5.0
_BY_NAME = "jobs by name"


@dataclass(frozen=True)
class Candidate:
    """A job of an earlier run that the backend still has.

    Attributes:
        left: Its record in the journal.
        grid_id: Its id on the backend, which was asked for its unique name.
        status: Its status on the backend.
    """

    left: JobRecord
    grid_id: str
    status: JobStatus


class Recovery:
    """Knows the jobs that earlier runs have left, and matches them with the jobs of this run."""

    def __init__(self, context: RunContext) -> None:
        """Start without jobs; ``look`` finds them.

        Args:
            context: Of the run.
        """
        self._context = context
        self._candidates: dict[str, Candidate] = {}
        self._adopting = asyncio.Lock()
        self._makers: dict[str, set[str]] = defaultdict(set)

    async def look(self) -> None:
        """Ask the backend for the jobs of earlier runs.

        Raises:
            GridError: It does not answer within the time that the user allows.
        """
        context = self._context
        await self._sweep()
        left = await asyncio.to_thread(context.journal.open_jobs)
        if not left:
            return
        found = await self._find(left)
        statuses: Mapping[str, JobStatus] = {}
        if found:
            statuses = await context.outages.call(
                "the states of jobs", lambda: context.backend.states(list(found.values()))
            )
        unwanted: list[Candidate] = []
        lost: list[JobRecord] = []
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
            for key in _keys(job.outputs, job.rule, json.dumps(job.wildcards)):
                self._makers[key].add(job.name)
        await self._lose(lost)
        await self._cancel(unwanted, "cancellation pending, or submitted by an older version")

    async def _sweep(self) -> None:
        """Tell the backend to discard ended jobs; an earlier run died before it did so."""
        names = await asyncio.to_thread(self._context.journal.needs_cleanup)
        if names:
            with contextlib.suppress(Exception):  # it only wastes space
                found = set((await self._ask(names)).values())
                if found:
                    await with_timeout(self._context.backend.discard(found))
                await self._context.record(self._context.journal.discarded, names)

    async def _find(self, left: Sequence[JobRecord]) -> dict[str, str]:
        """Ask for jobs by name; repeatedly for those that may still reach the backend."""
        context = self._context
        names = [job.name for job in left]
        found = dict(await self._ask(names))
        unanswered = [job for job in left if job.grid_id is None]
        last = max((job.changed for job in unanswered), default=0.0)
        clock = context.clock
        # A clock that was set back must not make this longer.
        until = min(last, clock.time()) + context.backend.settle_seconds
        told = False
        while True:
            unsure = [job.name for job in unanswered if job.name not in found]
            if not unsure or clock.time() >= until:
                return found
            if not told:
                told = True
                context.say(
                    f"{len(unsure)} job(s) of an earlier run may still reach "
                    f"{context.backend.name}: looking for them for up to "
                    f"{until - clock.time():.0f} s."
                )
            await clock.sleep(_LOOK_AGAIN)
            found |= await self._ask(unsure)

    async def _ask(self, names: Collection[str]) -> Mapping[str, str]:
        context = self._context
        return await context.outages.call(_BY_NAME, lambda: context.backend.find(names))

    async def _lose(self, jobs: Sequence[JobRecord]) -> None:
        """Record that some jobs are not on the grid."""
        context = self._context
        for job in jobs:
            if job.phase is Phase.OUTPUTS_INSTALLED:
                await self._context.record(context.journal.noted, [job.name])
            else:
                reason = f"{context.backend.name} has no such job"
                await self._context.record(context.journal.ended, job.name, Phase.CANCELLED, reason)
            await self._drop(job)
        if jobs:
            with contextlib.suppress(Exception):  # it only wastes space
                await with_timeout(context.backend.forget([job.name for job in jobs]))

    @property
    def left(self) -> list[str]:
        """Id and title of each job that this run has not adopted."""
        return [
            f"{candidate.grid_id} (rule {candidate.left.title})"
            for candidate in self._candidates.values()
            if not candidate.status.state.ended
        ]

    def attempt(self, outputs: Sequence[str], rule: str, wildcards: str) -> int:
        """Return the attempt of a job that may be adopted; 1 if there is none.

        Args:
            outputs: Names of its outputs.
            rule: Its rule.
            wildcards: JSON text of names and values.
        """
        known = self._of(outputs, rule, wildcards)
        return max((candidate.left.attempt for candidate in known), default=1)

    async def tell_unreached(self, beside: Sequence[Recovery] = ()) -> None:
        """Tell the user of jobs on backends and servers that this run does not reach.

        Args:
            beside: Of the other backends of this run.
        """
        unreached = await asyncio.to_thread(self._context.journal.open_elsewhere)
        for other in beside:
            known = await asyncio.to_thread(other._context.journal.open_elsewhere)
            unreached = {name: count for name, count in unreached.items() if name in known}
        for backend, count in unreached.items():
            self._context.say(
                f"{count} job(s) of earlier runs are on {backend}, which this run does not reach: "
                "they stay as they are (snakemake-grid cancel ends them)."
            )

    @property
    def empty(self) -> bool:
        """Whether this run has adopted or cancelled all jobs."""
        return not self._candidates

    def has(self, plan: Plan) -> bool:
        """Return whether an earlier run has left the same job here."""
        return not self.empty and any(
            one.left.identity == plan.identity for one in self._of_spec(plan.spec)
        )

    async def give_up(self, plans: Iterable[Plan]) -> None:
        """Cancel jobs of earlier runs in whose place this run runs others on another backend."""
        async with self._adopting:
            found = {one.left.name: one for plan in plans for one in self._of_spec(plan.spec)}
            self._forget(found.values())
            await self._cancel(list(found.values()), "they run on another backend now")

    async def settle(
        self, needed: Collection[str], incomplete: Callable[[Iterable[str]], bool]
    ) -> None:
        """Handle jobs that this run does not need.

        Args:
            needed: Names of all outputs that have to be made, as far as that is known.
            incomplete: Returns whether Snakemake considers some outputs incomplete.
        """
        wanted = set(needed)
        recorded: list[Candidate] = []
        others: list[Candidate] = []
        for candidate in self._candidates.values():
            outputs = candidate.left.outputs
            if outputs and wanted.isdisjoint(outputs):
                # Snakemake may have recorded its success before the earlier run died.
                installed = candidate.left.phase is Phase.OUTPUTS_INSTALLED
                known = installed and not incomplete(outputs)
                (recorded if known else others).append(candidate)
        if recorded:
            await self._context.record(
                self._context.journal.noted, [one.left.name for one in recorded]
            )
            await self._discard(recorded)
            self._forget(recorded)
        if others:
            self._context.say(
                f"{len(others)} job(s) of earlier runs are on the grid that this run does not "
                "need: they stay as they are (snakemake-grid status shows them, snakemake-grid "
                "cancel ends them)."
            )

    async def adopt(self, jobs: Sequence[TrackedJob]) -> list[TrackedJob]:
        """Adopt the jobs that are on the grid already; cancel those that have changed.

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
            known = self._of_spec(job.spec)
            same = [one for one in known if one.left.identity == job.plan.identity]
            if same:
                # The one that has come furthest; there is more than one only after a fault.
                adopted[job] = max(same, key=_progress)
            others |= {one.left.name: one for one in known if one is not adopted.get(job)}
        await self._confirm(adopted)
        for job, candidate in adopted.items():
            job.spec = replace(job.spec, name=candidate.left.name)
            job.origin, job.adopted = candidate.left.origin, True
            job.grid_id, job.named = candidate.grid_id, self._context.clock.monotonic()
            await self._restore_faults(job, candidate.left)
        if adopted:
            ended = sum(candidate.status.state.ended for candidate in adopted.values())
            self._context.say(
                f"Going on with {len(adopted)} job(s) of an earlier run: {len(adopted) - ended} on "
                f"the grid, {ended} that have ended meanwhile."
            )
        self._forget([*adopted.values(), *others.values()])
        await self._cancel(
            list(others.values()),
            "rule, inputs or parameters have changed",
        )
        return [job for job in jobs if job not in adopted]

    async def _restore_faults(self, job: TrackedJob, left: JobRecord) -> None:
        """Set the faults of an adopted job, and the sites that it may avoid because of them.

        Whether it does was not recorded. To wait without end would be worse than to be resubmitted
        once more, so it counts as avoiding all of them.
        """
        clock, name = self._context.clock, JobName.parse(left.name)
        job.faults = job.charged = name.resubmissions
        if not job.faults:
            return
        before = await asyncio.to_thread(self._context.journal.submissions_of, job.origin)
        job.charged -= sum(phase is Phase.CANCELLED for phase, _ in before.values())
        last, _ = before.get(str(JobName(name.first, job.faults - 1)), (None, ""))
        if last is Phase.FAILED:  # otherwise it had waited too long, and avoids none
            failed = {site for phase, site in before.values() if phase is Phase.FAILED}
            job.avoids = frozenset(failed - {""})
        waited = clock.time() - left.accepted if left.accepted is not None else 0.0
        job.waits_since = clock.monotonic() - max(0.0, waited)

    async def _confirm(self, adopted: Mapping[TrackedJob, Candidate]) -> None:
        """Finish the submission of jobs that was interrupted, and record all as adopted."""
        context = self._context
        unsure = [one.left.name for one in adopted.values() if one.left.phase is Phase.SUBMITTING]
        if unsure:
            await context.outages.call(_BY_NAME, lambda: context.backend.adopt(unsure))
        await self._context.record(
            context.journal.adopted,
            {
                candidate.left.name: (candidate.grid_id, job.spec.jobid)
                for job, candidate in adopted.items()
            },
        )

    def _of_spec(self, spec: JobSpec) -> list[Candidate]:
        return self._of(output_names(spec), spec.rule, json.dumps(dict(spec.wildcards)))

    def _of(self, outputs: Iterable[str], rule: str, wildcards: str) -> list[Candidate]:
        names = {
            name for key in _keys(outputs, rule, wildcards) for name in self._makers.get(key, ())
        }
        return [self._candidates[name] for name in sorted(names) if name in self._candidates]

    def _forget(self, candidates: Iterable[Candidate]) -> None:
        for candidate in candidates:
            self._candidates.pop(candidate.left.name, None)

    async def _cancel(self, candidates: Sequence[Candidate], why: str) -> None:
        if not candidates:
            return
        context = self._context
        context.say(f"Cancelling {len(candidates)} job(s) of an earlier run: {why}.")
        names = [candidate.left.name for candidate in candidates]
        await self._context.record(context.journal.cancelling, names)
        ids = {candidate.grid_id for candidate in candidates}
        left = ids
        try:
            left = await context.outages.call("cancelling", lambda: context.backend.cancel(ids))
        except EndingError:
            raise
        except (Exception, SystemExit) as error:
            context.say(f"Cancelling failed: {in_words(error)}")
        await self._end([one for one in candidates if one.grid_id not in left], why)
        if left:
            context.say(
                f"Not confirmed to be cancelled: {', '.join(sorted(left))}. The next run cancels "
                "them again."
            )

    async def _end(self, candidates: Sequence[Candidate], why: str) -> None:
        """Record that jobs were cancelled, and discard what remains of them."""
        reason = f"cancelled by a later run: {why}"
        for candidate in candidates:
            await self._context.record(
                self._context.journal.ended, candidate.left.name, Phase.CANCELLED, reason
            )
        await self._discard(candidates)

    async def _discard(self, candidates: Sequence[Candidate]) -> None:
        for candidate in candidates:
            await self._drop(candidate.left)
        if candidates:
            with contextlib.suppress(Exception):  # it only wastes space
                await with_timeout(
                    self._context.backend.discard([one.grid_id for one in candidates])
                )
                await self._context.record(
                    self._context.journal.discarded, [one.left.name for one in candidates]
                )

    async def _drop(self, job: JobRecord) -> None:
        with contextlib.suppress(GridError, OSError):  # it only wastes space
            await in_thread(self._context.stores.results.drop, job.name)


def _keys(outputs: Iterable[str], rule: str, wildcards: str) -> list[str]:
    """Return what identifies a job within a workflow: its outputs, if it has any."""
    return list(outputs) or [f"{rule} {wildcards}"]


def _progress(candidate: Candidate) -> tuple[bool, ...]:
    state = candidate.status.state
    order = (JobState.DONE, JobState.RUNNING, JobState.AT_SITE, JobState.QUEUED)
    return tuple(state is one for one in order)
