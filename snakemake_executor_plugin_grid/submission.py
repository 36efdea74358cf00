"""The first half of a job's way: stage in, submit, and find out what the backend has taken."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .backends.base import Payload, SubmitError, Submitted
from .calls import CALL_TIMEOUT, in_words, once
from .errors import CredentialsError, GridError
from .flight import Flight
from .patience import PASSING, Patience
from .sites import Sites
from .staging.paths import depth
from .worker.description import Blob, Job

if TYPE_CHECKING:
    from .controller import Parts

_SUBMISSION = "submission"


class UnansweredError(GridError):
    """Whether the backend has the jobs is not known: the next run looks for them by name."""


class Submission:
    """Carries jobs to the backend."""

    def __init__(
        self,
        parts: Parts,
        flights: Mapping[str, Flight],
        patience: Patience,
        sites: Sites,
        fail: Callable[[Flight, str], None],
    ) -> None:
        """Use the parts of a controller.

        Args:
            parts: The parts.
            flights: All jobs of the controller by name; cancelled ones vanish from it.
            patience: Waits for the backend.
            sites: Knows which sites to avoid.
            fail: Ends a job for a reason.
        """
        self._parts = parts
        self._flights = flights
        self._patience = patience
        self._sites = sites
        self._fail = fail
        self.staging = asyncio.Lock()
        self._told = False

    async def launch(self, flights: list[Flight]) -> None:
        """Stage in and submit; every job that fails on the way gets an outcome."""
        try:
            payloads = await self._prepare(flights)
            if payloads:
                await self._hand_over(payloads)
        except (Exception, SystemExit) as error:
            for flight in flights:
                if flight.name in self._flights and flight.grid_id is None:
                    self._fail(flight, f"it could not be submitted: {in_words(error)}")

    async def _prepare(self, flights: list[Flight]) -> list[tuple[Flight, Payload]]:
        async with self.staging:
            # Not in the pool, which it waits for.
            prepared = await asyncio.to_thread(
                self._parts.outgoing.prepare, [flight.spec for flight in flights]
            )
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
        parts.journal.submitting([payload.spec for _, payload in prepared])
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
        orphans = []
        for flight, payload in prepared:
            answer = answers[payload.spec.name]
            cancelled = flight.name not in self._flights
            if isinstance(answer, Submitted):
                if cancelled:
                    orphans.append(answer.grid_id)
                else:
                    flight.grid_id, flight.named = answer.grid_id, time.monotonic()
            elif isinstance(answer, SubmitError):
                if not cancelled:
                    self._fail(flight, f"{parts.backend.name} refused it: {answer.message}")
            elif not cancelled:
                self._fail(flight, f"it could not be submitted: {answer}")
                parts.journal.reopen(payload.spec.name)
        if orphans:  # cancelled while they were being submitted
            left = set(orphans)
            with contextlib.suppress(GridError, *PASSING):
                left = await once(parts.backend.cancel(orphans))
            if left:
                parts.say(f"Not confirmed to be cancelled: {', '.join(sorted(left))}")

    def _tell(self, answers: Mapping[str, object]) -> None:
        """Say once where the jobs of this run can be looked at."""
        taken = [name for name, answer in answers.items() if isinstance(answer, Submitted)]
        where = self._parts.backend.whereabouts(taken[0]) if taken and not self._told else ""
        if where:
            self._told = True
            self._parts.say(f"{self._parts.backend.name}: the jobs of this run are {where}.")

    async def _submit(
        self, payloads: Sequence[Payload]
    ) -> dict[str, Submitted | SubmitError | UnansweredError]:
        """Submit until each job is taken or refused; none is sent again that was taken."""
        backend, patience = self._parts.backend, self._patience
        waiting = list(payloads)
        answers: dict[str, Submitted | SubmitError | UnansweredError] = {}

        async def attempt() -> None:
            nonlocal waiting
            while waiting:
                limit = CALL_TIMEOUT + backend.submit_seconds * len(waiting)
                # First, as a pause for want of credentials is better made before.
                await once(backend.check_credentials())
                try:
                    taken = await once(backend.submit(waiting), limit)
                except Exception as error:
                    if isinstance(error, PASSING):  # now, as it is over when this works again
                        patience.note(_SUBMISSION, error)
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
        except UnansweredError as error:
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
        except Exception:
            raise UnansweredError(in_words(error)) from error
        return {name: Submitted(grid_id) for name, grid_id in found.items()}
