"""Runs jobs on the grid: stages in, submits, polls, completes. Independent of Snakemake.

Any thread may submit jobs; ``poll`` returns their outcomes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ..console.error_log import is_bug
from ..console.job_log import JobLog, Line
from ..model.errors import GridError, PermanentError
from ..model.state import JobState
from ..model.tracked import Outcome, Plan, TrackedJob
from ..resilience.calls import CALL_TIMEOUT, in_words, retry_at_start, with_timeout
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.site_bans import SiteBans
from ..resilience.threads import in_thread
from ..staging.upload import Upload
from ..worker.description import Blob
from .avoid_limit import AvoidLimit
from .cancellation import Cancellation
from .completion import Completion
from .context import RunContext
from .event_loop import EventLoop
from .faults import Faults
from .interruption import Interruption
from .lost_jobs import LostJobs
from .outcomes import Outcomes
from .outputs import Outputs
from .payloads import Payloads
from .poll_timer import PollTimer
from .recovery import Recovery
from .rounds import Rounds
from .submission import Submission
from .trouble import record_trouble

T = TypeVar("T")

_SILENT_WAIT = 2.0
_LAST_TRANSFERS = 60.0
_LAST_SUBMISSIONS = 10.0
_LAST_MOMENT = 3.0
_STATES = "the states of jobs"


class Controller:
    """Follows all jobs of a run.

    Attributes:
        recovery: Knows the jobs that earlier runs have left.
        send: Stores files that many jobs need; see `Submission.send`.
        interruption: Ends transfers when the run ends.
    """

    def __init__(
        self,
        context: RunContext,
        upload: Upload,
        payloads: Payloads,
        outputs: Outputs,
        *,
        lost_limit: float,
        avoid_limit: float,
        retries: int,
        longest_pause: float = math.inf,
    ) -> None:
        """Start the event loop.

        Args:
            context: Of the run.
            upload: Stores inputs.
            payloads: Builds what is submitted.
            outputs: Brings outputs back.
            lost_limit: Seconds after which a job that the backend does not list fails.
            avoid_limit: Seconds for which jobs may wait while they avoid sites.
            retries: Maximum number of resubmissions of a job after faults of the grid.
            longest_pause: Seconds between two calls for the states of jobs, at most.
        """
        say, clock = context.say, context.clock
        self._context, self._upload = context, upload
        self._timer, self._rounds = PollTimer(clock, longest_pause), Rounds(context)
        self._jobs: dict[str, TrackedJob] = {}
        self._outcomes: list[Outcome] = []
        self._bug = ""
        self._closed = self._cancelling = self._leaving = self._at_once = False
        self._outages = context.outages
        self._job_log = JobLog(say, context.backend.monitor_url)
        self._breaker = CircuitBreaker(say, clock.monotonic)
        self._sites = SiteBans(say)
        faults = Faults(self._sites, self._breaker, retries, say, context.outages)
        self._ends = Outcomes(context.backend, context.journal, outputs.grid_files)
        self.recovery = Recovery(context)
        self._submission = Submission(
            context, upload, payloads, self.recovery, faults, self._jobs, self._fail
        )
        self.send = self._submission.send
        self._completion = Completion(context, outputs, self._ends, faults, self._end, self._launch)
        self._avoid_limit = AvoidLimit(context, avoid_limit, self._completion.drop, self._launch)
        self._events = EventLoop(clock, self.crashed)
        self._lost = LostJobs(
            *(context, lost_limit, self._ends, self._completion, self._end, self._events.spawn)
        )
        context.outages.use_loop(self._events.loop)
        self.interruption = Interruption()
        self._events.watch(record_trouble(context, lambda: self.trouble))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop in which everything happens."""
        return self._events.loop

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float = math.inf) -> T:
        """Run a coroutine in the event loop, from another thread, and wait for its result."""
        return self._events.call(coroutine, timeout)

    def abandon(self) -> None:
        """Unblock the threads that wait in ``call``; from another thread."""
        self._events.abandon()

    def crashed(self, error: BaseException) -> None:
        """End the run; its jobs stay on the grid for the next run."""
        self._bug = self._bug or in_words(error)

    async def check(self) -> None:
        """Make sure that jobs can be submitted, and find the jobs that earlier runs have left.

        Raises:
            GridError: They cannot: says why and what to do.
        """
        context, backend = self._context, self._context.backend
        await retry_at_start(backend.check, context.clock)
        context.journal.endpoint = backend.endpoint
        await retry_at_start(lambda: in_thread(context.stores.check), context.clock)
        for site in await in_thread(context.journal.good_sites):
            self._sites.runs(site)
            backend.works_at(site)
        await self.recovery.look()

    async def send_runtime(self, folder: Path) -> Blob:
        """Store a folder of packages that workers put into their PYTHONPATH."""
        return await in_thread(self._upload.send_folder, folder)

    def submit(self, plans: Sequence[Plan]) -> None:
        """Take over jobs; returns at once."""
        jobs = [TrackedJob(plan, plan.spec) for plan in plans]
        self._jobs.update((job.name, job) for job in jobs)
        self._events.spawn(self._submission.submit(jobs))

    def acknowledge(self, names: Iterable[str]) -> None:
        """Note that Snakemake has recorded the success of jobs; returns at once."""
        self._events.spawn(self._completion.acknowledge(list(names)))

    @property
    def open_jobs(self) -> list[TrackedJob]:
        """The jobs that have not ended."""
        return [job for job in list(self._jobs.values()) if not job.ended]

    @property
    def active(self) -> bool:
        """Whether any job has not ended."""
        return bool(self.open_jobs)

    @property
    def idle(self) -> bool:
        """Whether there is neither a job to follow nor an outcome to report."""
        return not (self._jobs or self._outcomes)

    @property
    def running(self) -> list[str]:
        """Name of each job that runs, by the last answer of the backend."""
        jobs = list(self._jobs.values())
        return [job.name for job in jobs if job.status.state is JobState.RUNNING]

    @property
    def on_the_grid(self) -> list[str]:
        """Id and title of each job on the grid that has not ended."""
        return [
            f"{job.grid_id} ({job.spec.title})" for job in self.open_jobs if job.grid_id is not None
        ] + self.recovery.left

    @property
    def at_rest(self) -> bool:
        """Whether nothing is in progress on this host: all jobs wait or run on the grid."""
        return not (self._outcomes or self._avoid_limit.releasing) and all(
            job.seen and not job.ended for job in list(self._jobs.values())
        )

    @property
    def exhausted(self) -> str:
        """Why the run has to end, after too long an outage or a bug; else empty."""
        return self._outages.exhausted or self._bug

    @property
    def stuck(self) -> str:
        """Why the run has to end as soon as nothing else goes on; see `MultiController`."""
        return self.exhausted

    @property
    def trouble(self) -> str:
        """What the run waits for: a server, a disk, a proxy; else empty."""
        return "; ".join(filter(None, [self._outages.trouble, self._breaker.trouble]))

    @property
    def outlives_run(self) -> bool:
        """Whether jobs go on when the run has ended."""
        return self._context.backend.outlives_run

    @property
    def next_poll(self) -> float:
        """Seconds until the backend may be asked for the states of jobs again."""
        return self._timer.left

    @property
    def pause(self) -> float:
        """Seconds until ``poll`` should be called again."""
        return self._timer.left or self._context.backend.poll_interval

    async def poll(self) -> list[Outcome]:
        """Ask for the states of all jobs if it is time; return what has ended since then."""
        followed = {
            job.grid_id: job
            for job in self.open_jobs
            if job.grid_id is not None and job not in self._avoid_limit.releasing
        }
        if followed and not self._bug:
            if not self.next_poll and self._outages.due(_STATES):
                await self._ask(await self._rounds.choose(followed))
            await self._outages.watch_credentials()
        self._events.spawn(self._completion.discard())
        self._job_log.update(
            {
                job.name: Line(job.spec.title, job.grid_id, job.status, job.adopted)
                for job in list(self._jobs.values())
                if not self._job_log.shows(job.name, job.grid_id, job.status)
            }
        )
        if self._cancelling or self._leaving:
            return []  # all of these jobs are reported in one line
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    async def _ask(self, followed: Mapping[str, TrackedJob]) -> None:
        clock, backend = self._context.clock, self._context.backend
        began = clock.monotonic()
        try:
            statuses = await with_timeout(backend.states(list(followed)))
        except Exception as error:
            if is_bug(error) or isinstance(error, PermanentError):
                self.crashed(error)
            else:
                self._outages.note(_STATES, error)
            for job in followed.values():  # an outage changes no job
                job.named = job.waits_since = clock.monotonic()
            return
        self._outages.over(_STATES)
        asked, news = clock.monotonic(), {}
        self._timer.answered(began, backend.poll_interval)
        for grid_id, job in followed.items():
            status, job.seen = statuses.get(grid_id), True
            if status is None:
                self._lost.miss(job)
                continue
            job.named, job.missed = asked, 0
            if status != job.status:  # else it keeps the object, as `JobLog.shows` expects
                job.status = news[job.spec.name] = status
            if status.state is JobState.RUNNING:
                self._sites.runs(status.site)
            if status.state.ended and not job.ended:
                job.ended = True
                self._events.spawn(self._completion.complete(job))
        if waiting := self._avoid_limit.exceeded(followed.values()):
            self._events.spawn(self._avoid_limit.release(waiting))
        if news:
            _ = self._context.journal.seen(news)  # only `snakemake-grid status` shows them

    def cancel(self, timeout: float, give_up: Callable[[], bool]) -> list[str]:
        """Cancel all jobs.

        Args:
            timeout: Seconds to wait for the backend.
            give_up: Called several times a second; returns whether to stop waiting.

        Returns:
            Id and title of each job whose end is not confirmed.
        """
        cancellation = Cancellation(self._context, self._jobs, self._submission)
        done: Future[None] = Future()
        self._events.spawn(self._cancel(cancellation, done))
        try:
            self._events.wait(done, timeout, give_up)
        except GridError as error:
            self._context.say(f"Cancelling failed: {in_words(error)}")
        return cancellation.left()

    def leave(self, give_up: Callable[[], bool], *, at_once: bool = False) -> None:
        """Leave the jobs where they are: the next run continues with them.

        Args:
            give_up: Called several times a second; returns whether to stop waiting for jobs that
                are being submitted.
            at_once: Whether to submit no more jobs. Otherwise all have ten seconds for that.
        """
        self._at_once = at_once
        stop = self._stop_submitting if at_once else self._submission.hold_nothing
        self.loop.call_soon_threadsafe(stop)
        settle = self._submission.settled if at_once else self._submission.all_submitted
        submitted = self._events.start(settle())
        limit = _LAST_MOMENT if at_once else _LAST_SUBMISSIONS
        with contextlib.suppress(GridError):
            self._events.wait(submitted, limit, lambda: give_up() or bool(self.trouble))
        self._leaving = True
        self._upload.stop()

    def _stop_submitting(self) -> None:
        self._submission.stop()
        self._upload.stop()
        self._outages.stop()  # whoever waits for a server waits no more

    def close(self, give_up: Callable[[], bool] = lambda: False) -> bool:
        """End the connections and the loop.

        Args:
            give_up: Called several times a second; returns whether to stop waiting for outputs.

        Returns:
            Whether nothing is in progress any more.
        """
        if self._closed:
            return True
        self._closed = True
        events = self._events
        self.loop.call_soon_threadsafe(self._outages.stop)
        if self._at_once:
            self.interruption.set()
        drained = events.start(self._drain())
        ending = self._cancelling or self._leaving
        with contextlib.suppress(GridError):
            events.wait(drained, _SILENT_WAIT if ending else math.inf, give_up)
        if ending or not drained.done():
            self.interruption.set()
            with contextlib.suppress(GridError):
                events.wait(drained, _SILENT_WAIT, give_up)
        if not drained.done() and not give_up() and not self._at_once:
            # The next run fetches what is not complete, so there is no need to wait for long.
            self._context.say(
                f"Waiting for transfers that are in progress, {_LAST_TRANSFERS:g} s at most; press "
                "Ctrl-C again to abort them."
            )
            with contextlib.suppress(GridError):
                events.wait(drained, _LAST_TRANSFERS, give_up)
        # Interrupted calls end with the backend, and need the loop until then.
        ended = events.start(events.calls_ended())
        closed = events.start(self._context.backend.close())
        now = self._context.clock.monotonic
        until = now() + _SILENT_WAIT
        with contextlib.suppress(Exception):
            events.wait(closed, CALL_TIMEOUT, lambda: give_up() and now() > until)
        with contextlib.suppress(GridError):
            events.wait(drained, _LAST_SUBMISSIONS, give_up)
            events.wait(ended, _LAST_SUBMISSIONS, give_up)
        if (finished := drained.done()) and ended.done():
            self.interruption.remove()
        events.close()
        if not self._cancelling:  # no job is left to report
            self._job_log.flush()
        return finished

    async def _fail(self, job: TrackedJob, reason: str, *, final: bool = True) -> None:
        self._end(job, await self._ends.fail(job, reason, final=final))

    def _end(self, job: TrackedJob, outcome: Outcome) -> None:
        if self._jobs.pop(job.name, None) is not None:
            self._breaker.gone(job.name)
            self._job_log.done(job.name, success=outcome.success)
            self._outcomes.append(outcome)

    def _launch(self, job: TrackedJob) -> None:
        self._events.spawn(self._submission.launch([job]))

    async def _cancel(self, cancellation: Cancellation, done: Future[None]) -> None:
        self._cancelling = True
        self._stop_submitting()
        try:
            await cancellation.run()
        except Exception as error:
            self._context.say(f"Cancelling failed: {in_words(error)}")
        finally:
            done.set_result(None)

    async def _drain(self) -> None:
        """Wait for what is in progress, such as fetching the last outputs."""
        await self._events.tasks_ended()
        await self._completion.discard()
