"""First half of a job's life: stages inputs in, submits, finds out whether it was accepted."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Protocol

from ..backends.base import Payload, Rejected, Submitted
from ..console.error_log import is_bug
from ..console.format import sentence
from ..model.errors import CredentialsError, DiskFullError, EndingError, GridError, PermanentError
from ..model.names import JobName
from ..model.tracked import TrackedJob
from ..resilience.calls import CALL_TIMEOUT, PASSING, in_words, with_timeout
from ..resilience.outages import REFUSALS
from ..resilience.threads import in_thread
from ..staging.upload import Upload
from ..worker.archive.listing import Entry as FileEntry
from ..worker.description import Blob
from ..worker.grid_files.records import GridOutput
from .context import RunContext
from .faults import Faults
from .gathering import Gathering
from .payloads import Payloads
from .recovery import Recovery

_SUBMISSION = "submission"
_TICK = 0.1
_LOOK_AGAIN = 5.0


class UnansweredError(GridError):
    """It is not known whether the backend has the jobs: the next run looks for them by name."""


class Fail(Protocol):
    """Ends a job for a reason; see ``Outcomes.fail`` for ``final``."""

    async def __call__(self, job: TrackedJob, reason: str, *, final: bool = True) -> None:
        """End it."""


Answer = Submitted | Rejected | UnansweredError | EndingError
Prepared = dict[str, tuple[Blob, ...] | GridError]


class Submission:
    """Brings jobs to the backend.

    Attributes:
        unanswered: Names under which jobs were submitted that the backend may have or not.
    """

    def __init__(
        self,
        context: RunContext,
        upload: Upload,
        payloads: Payloads,
        recovery: Recovery,
        faults: Faults,
        jobs: Mapping[str, TrackedJob],
        fail: Fail,
    ) -> None:
        """Submit the jobs of a run.

        Args:
            context: Of the run.
            upload: Stores inputs.
            payloads: Builds what is submitted.
            recovery: Knows which jobs are on the grid already.
            faults: Tells how many jobs may be submitted, and which sites to avoid.
            jobs: All jobs of the run by name.
            fail: Ends a job for a reason.
        """
        self._context = context
        self._upload = upload
        self._payloads = payloads
        self._recovery = recovery
        self._faults = faults
        self._jobs = jobs
        self._fail = fail
        self._gathering = Gathering(context.clock, self.launch)
        self._staging = asyncio.Lock()
        self._gate = asyncio.Lock()
        self._told = False
        self._stopped = False
        self._under_way: set[asyncio.Future[None]] = set()
        self.unanswered: set[str] = set()

    async def send(
        self,
        sources: Mapping[str, FileEntry],
        listing: FileEntry | None = None,
        *,
        included: bool = False,
    ) -> None:
        """Store files that many jobs need: those of ``--grid-include``, or all sources."""

        def store() -> None:
            if included:
                self._upload.send_included(sources)
            else:
                self._upload.send_sources(sources, listing)

        async with self._staging:
            await self._context.outages.retry_when_disk_full(lambda: in_thread(store))

    def stop(self) -> None:
        """Submit nothing more, as the run is ending. Must be called in the event loop."""
        self._stopped = True
        self.hold_nothing()

    async def settled(self) -> None:
        """Wait for the answers to the submissions that are under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    async def all_submitted(self) -> None:
        """Wait until all jobs of the run are on the grid."""
        while any(job.grid_id is None for job in list(self._jobs.values())):
            await self._context.clock.sleep(_TICK)

    async def submit(self, jobs: list[TrackedJob]) -> None:
        """Launch jobs; new ones that may share a grid job wait a moment for others."""
        waiting: list[TrackedJob] = []
        others: list[TrackedJob] = []
        for job in jobs:
            (waiting if self._may_wait(job) else others).append(job)
        results = await asyncio.gather(
            *([self.launch(others)] if others else []),
            *([self._gathering.add(waiting)] if waiting else []),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _may_wait(self, job: TrackedJob) -> bool:
        return self._context.backend.gathers(job.spec) and not self._recovery.has(job.plan)

    def hold_nothing(self) -> None:
        """Let no job wait for others any more. Must be called in the event loop."""
        self._gathering.stop()

    async def launch(self, jobs: list[TrackedJob]) -> None:
        """Stage in and submit jobs; each job that fails on the way gets an outcome."""
        try:
            with self._unsettled():
                waiting = await self._recovery.adopt(jobs)
            while waiting:
                batch = await self._allowed(waiting)
                waiting = waiting[len(batch) :]
                payloads = await self._prepare(batch)
                if payloads:
                    with self._unsettled():
                        await self._hand_over(payloads)
        except EndingError:
            pass  # the next run submits them
        except Exception as error:
            for job in jobs:
                if job.name in self._jobs and job.grid_id is None:
                    # After a bug it is not known how far the job has come.
                    reason = f"it could not be submitted: {in_words(error)}"
                    await self._fail(job, reason, final=not is_bug(error))

    @contextlib.contextmanager
    def _unsettled(self) -> Iterator[None]:
        """Do something that may bring jobs to the grid, unless the run is ending."""
        self._check_stopped()
        settled = asyncio.get_running_loop().create_future()
        self._under_way.add(settled)
        try:
            yield
        finally:
            self._under_way.remove(settled)
            settled.set_result(None)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise EndingError("the run is ending")

    async def _allowed(self, waiting: list[TrackedJob]) -> list[TrackedJob]:
        """Wait until submission is allowed; return the jobs that may be submitted now."""
        breaker = self._faults.breaker
        async with self._gate:
            while (count := breaker.allowance()) == 0:
                pause = min(breaker.next_change() or _LOOK_AGAIN, _LOOK_AGAIN)
                await self._context.outages.pause(pause)
            batch = waiting[:count]
            breaker.submitting(job.name for job in batch)
            return batch

    async def _prepare(self, jobs: list[TrackedJob]) -> list[tuple[TrackedJob, Payload]]:
        for job in jobs:
            job.began = time.time()
        async with self._staging:
            prepared = await self._context.outages.retry_when_disk_full(
                lambda: self._stage_in(jobs)
            )
        payloads = []
        for job in jobs:
            blobs = prepared[job.spec.name]
            if isinstance(blobs, GridError):
                await self._fail(job, str(blobs))
            else:
                outputs = await self._outputs_now(job)
                avoid = self._faults.to_avoid(job)
                payload = self._payloads.build(job, blobs, avoid, outputs)
                payloads.append((job, payload))
        return payloads

    async def _outputs_now(self, job: TrackedJob) -> tuple[GridOutput, ...] | None:
        """Return the outputs on the grid of a job that is sent again; None for others."""
        again = JobName.parse(job.spec.name).resubmissions
        if not (again and job.spec.grid_outputs):
            return None
        return await in_thread(self._payloads.outputs_now, job.spec)

    async def _stage_in(self, jobs: list[TrackedJob]) -> Prepared:
        prepared = await in_thread(self._upload.prepare, [job.spec for job in jobs])
        for blobs in prepared.values():
            if isinstance(blobs, DiskFullError | EndingError):
                raise blobs  # repeat the batch: inputs that are stored already stay there
        return prepared

    async def _hand_over(self, prepared: list[tuple[TrackedJob, Payload]]) -> None:
        context = self._context
        jobs = [job for job, _ in prepared]
        await context.record(context.journal.submitting, jobs)
        answers = await self._submit([payload for _, payload in prepared])
        # Not awaited: without it the next run looks for them by name.
        _ = context.journal.submitted(
            {
                name: answer.grid_id
                for name, answer in answers.items()
                if isinstance(answer, Submitted)
            }
        )
        failed: list[Awaitable[None]] = []
        for job, payload in prepared:
            answer = answers[payload.spec.name]
            if isinstance(answer, Submitted):
                job.grid_id, job.avoids = answer.grid_id, answer.avoids
                job.accepted = job.named = job.waits_since = context.clock.monotonic()
            elif isinstance(answer, Rejected):
                reason = f"{context.backend.name} refused it: {answer.message}"
                failed.append(self._fail(job, reason))
            elif isinstance(answer, UnansweredError):
                reason = f"it could not be submitted: {answer}"
                failed.append(self._fail(job, reason, final=False))
        await asyncio.gather(*failed)  # together, so that they share a commit
        self._tell(answers)

    def _tell(self, answers: Mapping[str, object]) -> None:
        """Say once where the user can look at the jobs of this run."""
        backend = self._context.backend
        taken = [name for name, answer in answers.items() if isinstance(answer, Submitted)]
        where = backend.monitor_hint(taken[0]) if taken and not self._told else ""
        if where:
            self._told = True
            self._context.say(f"{backend.name}: the jobs of this run are {where}.")

    async def _submit(self, payloads: Sequence[Payload]) -> dict[str, Answer]:
        """Submit until the backend has accepted or refused each job.

        Accepted jobs are not sent again.
        """
        backend, outages = self._context.backend, self._context.outages
        waiting = list(payloads)
        answers: dict[str, Answer] = {}
        refusals = 0

        async def attempt() -> None:
            nonlocal waiting, refusals
            while waiting:
                limit = CALL_TIMEOUT + backend.submit_seconds * len(waiting)
                # First, as it is better to wait for credentials before the call than after.
                await with_timeout(backend.check_credentials())
                self._check_stopped()
                names = [payload.spec.name for payload in waiting]
                self.unanswered.update(names)
                try:
                    taken = await with_timeout(backend.submit(waiting), limit)
                except Exception as error:
                    if isinstance(error, PASSING):  # now, as the search below may end the outage
                        outages.note(_SUBMISSION, error)
                    refusals += isinstance(error, CredentialsError)
                    if refusals > REFUSALS:
                        raise PermanentError(
                            f"{sentence(error)} The credentials look valid."
                        ) from error
                    answers.update(await self._look_for(waiting, error))
                    self.unanswered.difference_update(names)
                    waiting = [payload for payload in waiting if payload.spec.name not in answers]
                    if waiting and not isinstance(error, CredentialsError):  # valid again by now
                        raise
                else:
                    self.unanswered.difference_update(names)
                    for payload, answer in zip(waiting, taken, strict=True):
                        answers[payload.spec.name] = answer
                    return

        try:
            await outages.call(_SUBMISSION, attempt, None)
        except (UnansweredError, EndingError) as error:
            answers.update({payload.spec.name: error for payload in waiting})
        except Exception as error:
            # After a bug it is not known whether the backend has them.
            silent = "no answer: " if isinstance(error, PASSING) else ""
            make = UnansweredError if is_bug(error) else Rejected
            lost = make(silent + in_words(error))
            answers.update({payload.spec.name: lost for payload in waiting})
        return answers

    async def _look_for(
        self, payloads: Sequence[Payload], error: Exception
    ) -> dict[str, Submitted]:
        """Find out which jobs the backend has accepted although its answer was lost.

        They count as avoiding what they were asked to avoid, which the answer would have said. If
        they do not, one that waits loses its place in a queue, once; if they did and that were not
        known, one might wait without end.
        """
        avoided = {payload.spec.name: payload.avoid for payload in payloads}
        if isinstance(error, CredentialsError):
            await self._context.outages.renewed(error)
        try:
            found = await self._context.outages.call(
                "jobs by name", lambda: self._context.backend.adopt(list(avoided))
            )
        except EndingError:
            raise
        except Exception:
            raise UnansweredError(in_words(error)) from error
        return {name: Submitted(grid_id, avoided[name]) for name, grid_id in found.items()}
