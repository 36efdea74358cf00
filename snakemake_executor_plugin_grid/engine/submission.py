"""The first half of a job's way: stage in, submit, and find out what the backend has taken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..backends.base import Payload, Rejected, Submitted
from ..journal.writer import Entry, Phase
from ..model.errors import CredentialsError, DiskFullError, EndingError, GridError, PermanentError
from ..model.tracked import TrackedJob
from ..resilience.calls import CALL_TIMEOUT, in_words, with_timeout
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.outages import PASSING, REFUSALS
from ..resilience.site_bans import SiteBans
from ..staging.paths import depth
from ..worker.description import Blob, Job
from .completion import in_pool
from .recovery import Recovery

if TYPE_CHECKING:
    from .context import Parts

_SUBMISSION = "submission"
_LOOK_AGAIN = 5.0


class UnansweredError(GridError):
    """Whether the backend has the jobs is not known: the next run looks for them by name."""


class Fail(Protocol):
    """Ends a job for a reason; see ``Landing.failure`` for ``final``."""

    def __call__(self, job: TrackedJob, reason: str, *, final: bool = True) -> None:
        """End it."""


Answer = Submitted | Rejected | UnansweredError | EndingError
Prepared = dict[str, tuple[Blob, ...] | GridError]


class Submission:
    """Carries jobs to the backend."""

    def __init__(
        self,
        parts: Parts,
        jobs: Mapping[str, TrackedJob],
        recovery: Recovery,
        sites: SiteBans,
        breaker: CircuitBreaker,
        fail: Fail,
    ) -> None:
        """Use the parts of a controller.

        Args:
            parts: The parts.
            jobs: All jobs of the controller by name; cancelled ones vanish from it.
            recovery: Knows what is on the grid already.
            sites: Knows which sites to avoid.
            breaker: Knows when to submit nothing.
            fail: Ends a job for a reason.
        """
        self._parts = parts
        self._jobs = jobs
        self._outages = parts.outages
        self._recovery = recovery
        self._sites = sites
        self._breaker = breaker
        self._fail = fail
        self.staging = asyncio.Lock()
        self._gate = asyncio.Lock()
        self._told = False

    async def launch(self, jobs: list[TrackedJob]) -> None:
        """Stage in and submit; every job that fails on the way gets an outcome."""
        try:
            waiting = await self._recovery.adopt(jobs)
            while waiting:
                batch = await self._allowed(waiting)
                waiting = waiting[len(batch) :]
                payloads = await self._prepare(batch)
                if payloads:
                    await self._hand_over(payloads)
        except EndingError:
            pass  # the next run submits them
        except (Exception, SystemExit) as error:
            for job in jobs:
                if job.name in self._jobs and job.grid_id is None:
                    self._fail(job, f"it could not be submitted: {in_words(error)}")

    async def _allowed(self, waiting: list[TrackedJob]) -> list[TrackedJob]:
        """Return the first of some jobs, as many as may be submitted now; waits until any may."""
        breaker = self._breaker
        async with self._gate:
            while (count := breaker.allowance()) == 0:
                await self._outages.pause(min(breaker.next_change() or _LOOK_AGAIN, _LOOK_AGAIN))
            batch = waiting[:count]
            breaker.submitting(job.name for job in batch)
            return batch

    async def _prepare(self, jobs: list[TrackedJob]) -> list[tuple[TrackedJob, Payload]]:
        for job in jobs:
            job.began = time.time()
        async with self.staging:
            prepared = await self._outages.here(lambda: self._stage_in(jobs))
        payloads = []
        for job in jobs:
            if job.name not in self._jobs:
                continue  # cancelled meanwhile
            blobs = prepared[job.spec.name]
            if isinstance(blobs, GridError):
                self._fail(job, str(blobs))
            else:
                payloads.append((job, self._payload(job, blobs)))
        return payloads

    async def _stage_in(self, jobs: list[TrackedJob]) -> Prepared:
        # Not in the pool, which it waits for.
        prepared = await asyncio.to_thread(self._parts.upload.prepare, [job.spec for job in jobs])
        for blobs in prepared.values():
            if isinstance(blobs, DiskFullError | EndingError):
                raise blobs  # all once more, when there is room: what is stored stays there
        return prepared

    def _payload(self, job: TrackedJob, blobs: tuple[Blob, ...]) -> Payload:
        plan, spec, parts = job.plan, job.spec, self._parts
        if plan.runtime_blob is not None:
            blobs = (plan.runtime_blob, *blobs)
        inputs, results = parts.stores.inputs, parts.stores.results
        if inputs.secret:  # signed anew: a run may last longer than a signature
            blobs = tuple(replace(blob, url=inputs.locate(blob.digest)) for blob in blobs)
        returned = [output.name for output in spec.outputs]
        climbs = max(parts.layout.deepest(spec.inputs), depth(returned), parts.upload.depth)
        limits = results.limits
        description = Job(
            name=spec.name,
            command=spec.command,
            nesting=parts.layout.nesting(climbs),
            blobs=blobs,
            outputs=spec.outputs,
            runtime=plan.runtime,
            time_limit=spec.resources.runtime_s,
            keep_incomplete=parts.keep_incomplete,
            fetch_undeclared=plan.fetch_undeclared,
            large_file=parts.large_file,
            compression=parts.compression,
            deliver=results.inbox(spec.name),
            deliver_limit=limits.outputs,
            deliver_hint=limits.hint,
            log_limit=limits.log if limits.log is not None else parts.backend.log_limit,
            report_to="" if parts.backend.brings_files else results.inbox(spec.name),
        )
        avoid = frozenset(job.avoid | self._sites.banned)
        return Payload(spec, description.dumps(), blobs, parts.worker, avoid)

    async def _hand_over(self, prepared: list[tuple[TrackedJob, Payload]]) -> None:
        parts = self._parts
        prepared = [(job, description) for job, description in prepared if job.name in self._jobs]
        entries = [
            Entry(payload.spec, job.plan.identity, job.origin, job.began)
            for job, payload in prepared
        ]
        await self._outages.here(lambda: in_pool(parts, parts.journal.submitting, entries))
        answers = await self._submit([payload for _, payload in prepared])
        with contextlib.suppress(GridError):  # the next run would look for them by name
            parts.journal.submitted(
                {
                    name: answer.grid_id
                    for name, answer in answers.items()
                    if isinstance(answer, Submitted)
                }
            )
        self._tell(answers)
        orphans: dict[str, str] = {}
        for job, payload in prepared:
            answer = answers[payload.spec.name]
            cancelled = job.name not in self._jobs
            if isinstance(answer, Submitted):
                if cancelled:
                    orphans[answer.grid_id] = payload.spec.name
                else:
                    job.grid_id, job.named = answer.grid_id, time.monotonic()
            elif isinstance(answer, Rejected):
                if not cancelled:
                    self._fail(job, f"{parts.backend.name} refused it: {answer.message}")
            elif isinstance(answer, UnansweredError) and not cancelled:
                self._fail(job, f"it could not be submitted: {answer}", final=False)
        if orphans:
            await self._cancel(orphans)

    async def _cancel(self, jobs: Mapping[str, str]) -> None:
        """Cancel jobs that were to be cancelled while they were being submitted.

        Args:
            jobs: Their names by their ids.
        """
        parts, left = self._parts, set(jobs)
        with contextlib.suppress(GridError, *PASSING):
            parts.journal.cancelling(jobs.values())
            left = await with_timeout(parts.backend.cancel(list(jobs)))
            for grid_id in jobs.keys() - left:
                parts.journal.ended(jobs[grid_id], Phase.CANCELLED)
        if left:
            parts.say(f"Not confirmed to be cancelled: {', '.join(sorted(left))}")

    def _tell(self, answers: Mapping[str, object]) -> None:
        """Say once where the jobs of this run can be looked at."""
        taken = [name for name, answer in answers.items() if isinstance(answer, Submitted)]
        where = self._parts.backend.monitor_hint(taken[0]) if taken and not self._told else ""
        if where:
            self._told = True
            self._parts.say(f"{self._parts.backend.name}: the jobs of this run are {where}.")

    async def _submit(self, payloads: Sequence[Payload]) -> dict[str, Answer]:
        """Submit until each job is taken or refused; none is sent again that was taken."""
        backend, outages = self._parts.backend, self._outages
        waiting = list(payloads)
        answers: dict[str, Answer] = {}
        refusals = 0

        async def attempt() -> None:
            nonlocal waiting, refusals
            while waiting:
                limit = CALL_TIMEOUT + backend.submit_seconds * len(waiting)
                # First, as a pause for want of credentials is better made before.
                await with_timeout(backend.check_credentials())
                try:
                    taken = await with_timeout(backend.submit(waiting), limit)
                except Exception as error:
                    if isinstance(error, PASSING):  # now, as it is over when this works again
                        outages.note(_SUBMISSION, error)
                    refusals += isinstance(error, CredentialsError)
                    if refusals > REFUSALS:
                        raise PermanentError(f"{error} The credentials look good.") from error
                    names = [payload.spec.name for payload in waiting]
                    answers.update(await self._look_for(names, error))
                    waiting = [payload for payload in waiting if payload.spec.name not in answers]
                    if waiting and not isinstance(error, CredentialsError):  # good again by now
                        raise
                else:
                    for payload, answer in zip(waiting, taken, strict=True):
                        answers[payload.spec.name] = answer
                    return

        try:
            await outages.call(_SUBMISSION, attempt, None)
        except (UnansweredError, EndingError) as error:
            answers.update({payload.spec.name: error for payload in waiting})
        except Exception as error:
            silent = "no answer: " if isinstance(error, PASSING) else ""
            lost = Rejected(silent + in_words(error))
            answers.update({payload.spec.name: lost for payload in waiting})
        return answers

    async def _look_for(self, names: list[str], error: Exception) -> dict[str, Submitted]:
        """Find out which jobs the backend has taken, though its answer was lost."""
        if isinstance(error, CredentialsError):
            await self._outages.renewed(error)
        try:
            found = await self._outages.call(
                "jobs by name", lambda: self._parts.backend.adopt(names)
            )
        except EndingError:
            raise
        except Exception:
            raise UnansweredError(in_words(error)) from error
        return {name: Submitted(grid_id) for name, grid_id in found.items()}
