"""Carries jobs through: stage in, submit, follow, stage out. It knows nothing of Snakemake.

It has an event loop in a thread of its own. Jobs are handed over from any thread; what becomes of
them is collected by ``poll``.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ..console.job_log import JobLog, Line
from ..journal.writer import Phase
from ..model.errors import EndingError, GridError, TransientError
from ..model.state import JobStatus
from ..model.tracked import Outcome, Plan, TrackedJob
from ..planning.sources import Sources
from ..resilience.calls import CALL_TIMEOUT, exit_as_error, in_words, with_timeout
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.outages import persistently
from ..resilience.site_bans import SiteBans
from ..worker.description import Blob
from .completion import Completion, in_pool
from .context import Parts
from .recovery import Recovery
from .submission import Submission

T = TypeVar("T")

_TICK = 0.1
_WATCH = 1.0
_TRANSFERS_UNSAID = 2.0
_LAST_TRANSFERS = 60.0
_LAST_SUBMISSIONS = 10.0
_STATES = "the states of jobs"


class Controller:
    """Follows all jobs of a run.

    Attributes:
        loop: Where all of it happens.
        recovery: Knows the jobs that earlier runs have left.
    """

    def __init__(self, parts: Parts) -> None:
        """Start the event loop."""
        self._parts = parts
        self._jobs: dict[str, TrackedJob] = {}
        self._outcomes: list[Outcome] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._cancelling = False
        self._leaving = False
        self._abandoned = False
        self._outages = parts.outages
        self._job_log = JobLog(parts.say, parts.backend.monitor_url)
        self._breaker = breaker = CircuitBreaker(parts.say)
        sites = SiteBans(parts.say)
        self.recovery = Recovery(parts)
        self._submission = Submission(parts, self._jobs, self.recovery, sites, breaker, self._fail)
        self._retrieval = Completion(parts, sites, breaker, self._end, self._launch)
        self.loop = self._outages.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="grid", daemon=True)
        self._thread.start()
        # Kept, as the loop itself would let go of the task.
        self._watching = asyncio.run_coroutine_threadsafe(self._watch(), self.loop)

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine in the controller's loop, from another thread, and wait for it."""
        future = asyncio.run_coroutine_threadsafe(self._noted(coroutine), self.loop)
        return self._wait(future, math.inf if timeout is None else timeout, lambda: self._abandoned)

    def abandon(self) -> None:
        """Let whoever waits in ``call`` wait no longer; from another thread."""
        self._abandoned = True

    async def check(self) -> None:
        """Make sure that jobs can be submitted, and see what an earlier run has left behind.

        Raises:
            GridError: They cannot: says why and what to do.
        """
        await persistently(self._parts.backend.check)
        self._parts.journal.endpoint = self._parts.backend.endpoint
        await persistently(lambda: in_pool(self._parts, self._parts.stores.check))
        await self.recovery.look()

    async def send_sources(self, sources: Sources) -> None:
        """Store what every job needs."""
        upload = self._parts.upload
        async with self._submission.staging:
            # Not in the pool, which it waits for.
            await self._outages.here(lambda: asyncio.to_thread(upload.send_sources, sources))

    async def send_runtime(self, folder: Path) -> Blob:
        """Store a folder of packages that workers put into their PYTHONPATH."""
        return await in_pool(self._parts, self._parts.upload.send_folder, folder)

    def submit(self, plans: Sequence[Plan]) -> None:
        """Take over jobs; returns at once."""
        jobs = [TrackedJob(plan, plan.spec) for plan in plans]
        self._jobs.update((job.name, job) for job in jobs)
        self.loop.call_soon_threadsafe(self._spawn, self._submission.launch(jobs))

    def acknowledge(self, names: Iterable[str]) -> None:
        """Hear that Snakemake has noted the success of jobs; returns at once."""
        self.loop.call_soon_threadsafe(self._spawn, self._retrieval.acknowledge(list(names)))

    @property
    def active(self) -> bool:
        """Whether any job has not come to its end."""
        return any(not job.ended for job in list(self._jobs.values()))

    @property
    def on_the_grid(self) -> list[str]:
        """Of each job on the grid that has not come to its end, its id and title."""
        return [
            f"{job.grid_id} ({job.spec.title})"
            for job in list(self._jobs.values())
            if job.grid_id is not None and not job.ended
        ] + self.recovery.left

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way on this side: jobs are on the grid, or nowhere."""
        return (
            not self._outcomes
            and not self._retrieval.under_way
            and all(job.seen for job in list(self._jobs.values()))
        )

    @property
    def exhausted(self) -> str:
        """Why the run has to end, when an outage has lasted too long; else empty."""
        return self._outages.exhausted

    @property
    def trouble(self) -> str:
        """What the run waits for that may take long: a server, a disk, a proxy; else empty."""
        return "; ".join(filter(None, [self._outages.trouble, self._breaker.trouble]))

    async def poll(self) -> list[Outcome]:
        """Ask for the states of all jobs; return what has come to its end since the last call."""
        followed = {
            job.grid_id: job
            for job in list(self._jobs.values())
            if job.grid_id is not None and not job.ended
        }
        if followed:
            if self._outages.due(_STATES):
                await self._ask(followed)
            await self._outages.watch_credentials()
        self._spawn(self._retrieval.discard())
        self._job_log.update(
            {
                job.name: Line(job.spec.title, job.grid_id, job.status, job.adopted)
                for job in list(self._jobs.values())
            }
        )
        if self._cancelling or self._leaving:
            return []  # what has become of the jobs is said in one line, not for each
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    async def _ask(self, followed: Mapping[str, TrackedJob]) -> None:
        try:
            statuses = await with_timeout(self._parts.backend.states(list(followed)))
        except (Exception, SystemExit) as error:
            self._outages.note(_STATES, error)  # which changes no job
            for job in followed.values():
                job.named = time.monotonic()
            return
        self._outages.over(_STATES)
        news: dict[str, JobStatus] = {}
        for grid_id, job in followed.items():
            status, job.seen = statuses.get(grid_id), True
            if status is None:
                self._miss(job)
                continue
            if status != job.status:
                news[job.spec.name] = status
            job.status, job.named = status, time.monotonic()
            if status.state.ended and not job.ended:
                job.ended = True
                self._spawn(self._retrieval.take(job))
        if news:
            with contextlib.suppress(GridError):  # these are for people only
                # Not in the pool, where transfers may wait for a store.
                await asyncio.to_thread(self._parts.journal.seen, news)

    def cancel(self, timeout: float, give_up: Callable[[], bool]) -> list[str]:
        """Cancel all jobs.

        Args:
            timeout: Seconds to wait for the backend.
            give_up: Asked several times a second whether to wait no longer.

        Returns:
            Of each job whose end is not confirmed, its id and title.
        """
        self._cancelling = True
        self._parts.upload.stop()
        # Those that have ended are being taken in, which close() waits for.
        jobs = [job for job in list(self._jobs.values()) if not job.ended]
        submitted = [job for job in jobs if job.grid_id is not None]
        with contextlib.suppress(GridError):
            self._parts.journal.cancelling(job.spec.name for job in jobs)
        try:
            cancelled = asyncio.run_coroutine_threadsafe(
                exit_as_error(self._cancel(jobs)), self.loop
            )
            left = self._wait(cancelled, timeout, give_up)
        except (Exception, SystemExit) as error:
            self._parts.say(f"Cancelling failed: {in_words(error)}")
            left = {job.grid_id or "" for job in submitted}
        for job in jobs:
            self._jobs.pop(job.name, None)
            # One without an id may be on its way: the next run looks for it by name.
            if job.grid_id is not None and job.grid_id not in left:
                self._parts.stores.results.drop(job.spec.name)
                with contextlib.suppress(GridError):
                    self._parts.journal.ended(job.spec.name, Phase.CANCELLED)
        confirmed = sum(job.grid_id not in left for job in jobs)
        if confirmed:
            self._parts.say(f"{confirmed} job(s) cancelled.")
        return [f"{job.grid_id} ({job.spec.title})" for job in jobs if job.grid_id in left]

    def leave(self, give_up: Callable[[], bool]) -> None:
        """Leave the jobs where they are: the next run goes on with them.

        Args:
            give_up: Asked several times a second whether not even to wait for those that are being
                submitted.
        """
        until = time.monotonic() + _LAST_SUBMISSIONS
        while any(job.grid_id is None for job in list(self._jobs.values())):
            if give_up() or self.trouble or time.monotonic() > until:
                break
            time.sleep(_TICK)
        self._leaving = True
        self._parts.upload.stop()

    def _wait(self, future: Future[T], timeout: float, give_up: Callable[[], bool]) -> T:
        deadline = time.monotonic() + timeout
        while not future.done():
            if give_up():
                raise EndingError("interrupted")
            if time.monotonic() > deadline:
                raise TransientError(f"no answer within {timeout:g} s")
            with contextlib.suppress(TimeoutError):
                future.result(_TICK)
        return future.result()

    def close(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """End the connections and the loop.

        Args:
            give_up: Asked several times a second whether what comes in is waited for no longer.
        """
        if self._closed:
            return
        self._closed = True
        self.loop.call_soon_threadsafe(self._outages.stop)
        drained = asyncio.run_coroutine_threadsafe(self._drain(), self.loop)
        ending = self._cancelling or self._leaving
        with contextlib.suppress(GridError):
            self._wait(drained, _TRANSFERS_UNSAID if ending else math.inf, give_up)
        if not drained.done() and not give_up():
            # What comes in is not lost, but nobody waits for ever for it.
            self._parts.say(
                f"Waiting for transfers that are under way, {_LAST_TRANSFERS:g} s at most; press "
                "Ctrl-C again to break them off."
            )
            with contextlib.suppress(GridError):
                self._wait(drained, _LAST_TRANSFERS, give_up)
        # Calls that were interrupted end with the backend, and need the loop until then.
        ended = asyncio.run_coroutine_threadsafe(self._calls_ended(), self.loop)
        closed = asyncio.run_coroutine_threadsafe(
            self._noted(self._parts.backend.close()), self.loop
        )
        with contextlib.suppress(Exception, SystemExit):
            began = time.monotonic()
            self._wait(
                closed,
                CALL_TIMEOUT,
                lambda: give_up() and time.monotonic() > began + _TRANSFERS_UNSAID,
            )
        with contextlib.suppress(GridError):
            self._wait(drained, _LAST_SUBMISSIONS, give_up)
            self._wait(ended, _LAST_SUBMISSIONS, give_up)
        asyncio.run_coroutine_threadsafe(_break_off(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self._parts.pool.shutdown(wait=drained.done(), cancel_futures=True)
        if not self._cancelling:  # of which nothing is left
            self._job_log.flush()

    def _fail(self, job: TrackedJob, reason: str, *, final: bool = True) -> None:
        self._end(job, self._parts.landing.failure(job, reason, final=final))

    def _end(self, job: TrackedJob, outcome: Outcome) -> None:
        if self._jobs.pop(job.name, None) is not None:
            self._breaker.gone(job.name)
            self._job_log.done(job.name, success=outcome.success)
            self._outcomes.append(outcome)

    def _launch(self, job: TrackedJob) -> None:
        self._spawn(self._submission.launch([job]))

    async def _cancel(self, jobs: list[TrackedJob]) -> set[str]:
        for job in jobs:  # whoever submits one at this moment cancels it then
            self._jobs.pop(job.name, None)
        backend = self._parts.backend
        names = {job.grid_id: job.spec.name for job in jobs if job.grid_id and not job.ended}
        left = await backend.cancel(names) if names else set()
        with contextlib.suppress(Exception):  # it only costs room
            if over := names.keys() - left:
                await with_timeout(backend.discard(over))
                await asyncio.to_thread(self._parts.journal.discarded, [names[one] for one in over])
        return left

    def _miss(self, job: TrackedJob) -> None:
        """Give up a job that the backend has not named for long: unknown is not yet failed."""
        silent = time.monotonic() - job.named
        if silent > self._parts.lost_limit:
            self._fail(job, f"{self._parts.backend.name} has not known it for {silent:.0f} s")
            self._spawn(self._retrieval.give_up(job.grid_id or ""))

    async def _watch(self) -> None:
        """Note what the run waits for, for those who look on from outside."""
        noted = ""
        while True:
            await asyncio.sleep(_WATCH)
            if (trouble := self.trouble) != noted:
                with contextlib.suppress(GridError):  # such as a full disk
                    await asyncio.to_thread(self._parts.journal.trouble, trouble)
                    noted = trouble

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _noted(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine for another thread, which an interrupt may keep from waiting for it."""
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)
        return await exit_as_error(coroutine)

    async def _calls_ended(self) -> None:
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _drain(self) -> None:
        """Wait for what is under way, such as taking in the last outputs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._retrieval.discard()


async def _break_off() -> None:
    """End what is still under way: its thread goes on for a while, and is not listened to."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
