"""The first half of a job's way: stage in, submit, and find out what the backend has taken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..backends.base import Payload, SubmitError, Submitted
from ..journal.writer import Entry, Phase
from ..model.errors import CredentialsError, DiskFullError, EndingError, GridError, PermanentError
from ..model.tracked import Flight
from ..resilience.calls import CALL_TIMEOUT, in_words, once
from ..resilience.circuit_breaker import Breaker
from ..resilience.outages import PASSING, REFUSALS
from ..resilience.site_bans import Sites
from ..staging.paths import depth
from ..worker.description import Blob, Job
from .completion import in_pool
from .recovery import Adoption

if TYPE_CHECKING:
    from .context import Parts

_SUBMISSION = "submission"
_LOOK_AGAIN = 5.0


class UnansweredError(GridError):
    """Whether the backend has the jobs is not known: the next run looks for them by name."""


class Fail(Protocol):
    """Ends a job for a reason; see ``Landing.failure`` for ``final``."""

    def __call__(self, flight: Flight, reason: str, *, final: bool = True) -> None:
        """End it."""


Answer = Submitted | SubmitError | UnansweredError | EndingError
Prepared = dict[str, tuple[Blob, ...] | GridError]


class Submission:
    """Carries jobs to the backend."""

    def __init__(
        self,
        parts: Parts,
        flights: Mapping[str, Flight],
        adoption: Adoption,
        sites: Sites,
        breaker: Breaker,
        fail: Fail,
    ) -> None:
        """Use the parts of a controller.

        Args:
            parts: The parts.
            flights: All jobs of the controller by name; cancelled ones vanish from it.
            adoption: Knows what is on the grid already.
            sites: Knows which sites to avoid.
            breaker: Knows when to submit nothing.
            fail: Ends a job for a reason.
        """
        self._parts = parts
        self._flights = flights
        self._patience = parts.patience
        self._adoption = adoption
        self._sites = sites
        self._breaker = breaker
        self._fail = fail
        self.staging = asyncio.Lock()
        self._gate = asyncio.Lock()
        self._told = False

    async def launch(self, flights: list[Flight]) -> None:
        """Stage in and submit; every job that fails on the way gets an outcome."""
        try:
            waiting = await self._adoption.adopt(flights)
            while waiting:
                batch = await self._allowed(waiting)
                waiting = waiting[len(batch) :]
                payloads = await self._prepare(batch)
                if payloads:
                    await self._hand_over(payloads)
        except EndingError:
            pass  # the next run submits them
        except (Exception, SystemExit) as error:
            for flight in flights:
                if flight.name in self._flights and flight.grid_id is None:
                    self._fail(flight, f"it could not be submitted: {in_words(error)}")

    async def _allowed(self, waiting: list[Flight]) -> list[Flight]:
        """Return the first of some jobs, as many as may be submitted now; waits until any may."""
        breaker = self._breaker
        async with self._gate:
            while (count := breaker.allowance()) == 0:
                await self._patience.pause(min(breaker.next_change() or _LOOK_AGAIN, _LOOK_AGAIN))
            batch = waiting[:count]
            breaker.submitting(flight.name for flight in batch)
            return batch

    async def _prepare(self, flights: list[Flight]) -> list[tuple[Flight, Payload]]:
        for flight in flights:
            flight.began = time.time()
        async with self.staging:
            prepared = await self._patience.here(lambda: self._stage_in(flights))
        payloads = []
        for flight in flights:
            if flight.name not in self._flights:
                continue  # cancelled meanwhile
            blobs = prepared[flight.spec.name]
            if isinstance(blobs, GridError):
                self._fail(flight, str(blobs))
            else:
                payloads.append((flight, self._payload(flight, blobs)))
        return payloads

    async def _stage_in(self, flights: list[Flight]) -> Prepared:
        # Not in the pool, which it waits for.
        prepared = await asyncio.to_thread(
            self._parts.outgoing.prepare, [flight.spec for flight in flights]
        )
        for blobs in prepared.values():
            if isinstance(blobs, DiskFullError | EndingError):
                raise blobs  # all once more, when there is room: what is stored stays there
        return prepared

    def _payload(self, flight: Flight, blobs: tuple[Blob, ...]) -> Payload:
        plan, spec, parts = flight.plan, flight.spec, self._parts
        if plan.runtime_blob is not None:
            blobs = (plan.runtime_blob, *blobs)
        if parts.store.secret:  # signed anew: a run may last longer than a signature
            blobs = tuple(replace(blob, url=parts.store.locate(blob.digest)) for blob in blobs)
        returned = [output.name for output in spec.outputs]
        climbs = max(parts.layout.deepest(spec.inputs), depth(returned), parts.outgoing.depth)
        limits = parts.store.limits
        job = Job(
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
            deliver=parts.store.inbox(spec.name),
            deliver_limit=limits.delivered,
            deliver_hint=limits.hint,
            log_limit=limits.log if limits.log is not None else parts.backend.log_limit,
            report_to="" if parts.backend.brings_files else parts.store.reports(spec.name),
        )
        avoid = frozenset(flight.avoid | self._sites.banned)
        return Payload(spec, job.dumps(), blobs, parts.worker, avoid)

    async def _hand_over(self, prepared: list[tuple[Flight, Payload]]) -> None:
        parts = self._parts
        prepared = [(flight, job) for flight, job in prepared if flight.name in self._flights]
        entries = [
            Entry(payload.spec, flight.plan.identity, flight.origin, flight.began)
            for flight, payload in prepared
        ]
        await self._patience.here(lambda: in_pool(parts, parts.journal.submitting, entries))
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
        for flight, payload in prepared:
            answer = answers[payload.spec.name]
            cancelled = flight.name not in self._flights
            if isinstance(answer, Submitted):
                if cancelled:
                    orphans[answer.grid_id] = payload.spec.name
                else:
                    flight.grid_id, flight.named = answer.grid_id, time.monotonic()
            elif isinstance(answer, SubmitError):
                if not cancelled:
                    self._fail(flight, f"{parts.backend.name} refused it: {answer.message}")
            elif isinstance(answer, UnansweredError) and not cancelled:
                self._fail(flight, f"it could not be submitted: {answer}", final=False)
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
            left = await once(parts.backend.cancel(list(jobs)))
            for grid_id in jobs.keys() - left:
                parts.journal.ended(jobs[grid_id], Phase.CANCELLED)
        if left:
            parts.say(f"Not confirmed to be cancelled: {', '.join(sorted(left))}")

    def _tell(self, answers: Mapping[str, object]) -> None:
        """Say once where the jobs of this run can be looked at."""
        taken = [name for name, answer in answers.items() if isinstance(answer, Submitted)]
        where = self._parts.backend.whereabouts(taken[0]) if taken and not self._told else ""
        if where:
            self._told = True
            self._parts.say(f"{self._parts.backend.name}: the jobs of this run are {where}.")

    async def _submit(self, payloads: Sequence[Payload]) -> dict[str, Answer]:
        """Submit until each job is taken or refused; none is sent again that was taken."""
        backend, patience = self._parts.backend, self._patience
        waiting = list(payloads)
        answers: dict[str, Answer] = {}
        refusals = 0

        async def attempt() -> None:
            nonlocal waiting, refusals
            while waiting:
                limit = CALL_TIMEOUT + backend.submit_seconds * len(waiting)
                # First, as a pause for want of credentials is better made before.
                await once(backend.check_credentials())
                try:
                    taken = await once(backend.submit(waiting), limit)
                except Exception as error:
                    if isinstance(error, PASSING):  # now, as it is over when this works again
                        patience.note(_SUBMISSION, error)
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
            await patience.call(_SUBMISSION, attempt, None)
        except (UnansweredError, EndingError) as error:
            answers.update({payload.spec.name: error for payload in waiting})
        except Exception as error:
            silent = "no answer: " if isinstance(error, PASSING) else ""
            lost = SubmitError(silent + in_words(error))
            answers.update({payload.spec.name: lost for payload in waiting})
        return answers

    async def _look_for(self, names: list[str], error: Exception) -> dict[str, Submitted]:
        """Find out which jobs the backend has taken, though its answer was lost."""
        if isinstance(error, CredentialsError):
            await self._patience.renewed(error)
        try:
            found = await self._patience.call(
                "jobs by name", lambda: self._parts.backend.adopt(names)
            )
        except EndingError:
            raise
        except Exception:
            raise UnansweredError(in_words(error)) from error
        return {name: Submitted(grid_id) for name, grid_id in found.items()}
