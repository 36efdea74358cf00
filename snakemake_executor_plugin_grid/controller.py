"""Carries jobs through: stage in, submit, follow, stage out. It knows nothing of Snakemake.

It has an event loop in a thread of its own. Jobs are handed over from any thread; what becomes of
them is collected by ``poll``.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .backends.base import Backend
from .calls import CALL_TIMEOUT, TRANSFER_TIMEOUT, in_words, once, spared
from .errors import GridError, TransientError
from .flight import Flight, Outcome, Plan
from .journal import Journal, Phase
from .landing import Landing
from .patience import Patience, persistently
from .sites import Sites
from .staging.outgoing import Outgoing
from .staging.paths import Layout
from .staging.sources import Sources
from .stores import Store
from .submission import Submission
from .worker.description import Blob

T = TypeVar("T")

_TICK = 0.1
_TRANSFERS_UNSAID = 2.0
_LAST_TRANSFERS = 60.0
_LANDINGS = 8
_STATES = "the states of jobs"


@dataclass(frozen=True)
class Parts:
    """What a controller is put together from.

    Attributes:
        backend: Runs the jobs.
        store: Through which files travel.
        journal: Notes every effect.
        layout: Of the submit host.
        outgoing: Stages in.
        landing: Stages out.
        pool: Threads for what blocks.
        worker: The worker program.
        folder: Of this package below the working directory.
        keep_incomplete: Whether outputs of failed jobs come back.
        large_file: Bytes from which on a file travels alone.
        compression: Of tarballs.
        lost_limit: Seconds after which a job that the backend does not name is given up.
        retries: How often a job is sent again that the infrastructure has failed.
        patience: Waits for the backend.
        say: Shows a line to the user.
    """

    backend: Backend
    store: Store
    journal: Journal
    layout: Layout
    outgoing: Outgoing
    landing: Landing
    pool: ThreadPoolExecutor
    worker: Path
    folder: Path
    keep_incomplete: bool
    large_file: int
    compression: str
    lost_limit: float
    retries: int
    patience: Patience
    say: Callable[[str], None]


class Controller:
    """Follows all jobs of a run."""

    def __init__(self, parts: Parts) -> None:
        """Start the event loop."""
        self._parts = parts
        self._flights: dict[str, Flight] = {}
        self._outcomes: list[Outcome] = []
        self._taken: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._cancelling = False
        self._landings = asyncio.Semaphore(_LANDINGS)
        self._patience = parts.patience
        self._sites = Sites(parts.say)
        self._submission = Submission(parts, self._flights, parts.patience, self._sites, self._fail)
        self.loop = self._patience.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="grid", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine in the controller's loop, from another thread, and wait for it."""
        future = asyncio.run_coroutine_threadsafe(self._noted(coroutine), self.loop)
        return future.result(timeout)

    async def check(self) -> None:
        """Make sure that jobs can be submitted; cancel what an earlier run has left behind.

        Raises:
            GridError: They cannot: says why and what to do.
        """
        await persistently(self._parts.backend.check)
        await self._cancel_left()
        await persistently(lambda: self._in_pool(self._parts.store.check))

    async def send_sources(self, sources: Sources) -> None:
        """Store what every job needs."""
        async with self._submission.staging:
            await asyncio.to_thread(self._parts.outgoing.send_sources, sources)

    async def send_runtime(self, folder: Path) -> Blob:
        """Store a folder of packages that workers put into their PYTHONPATH."""
        return await self._in_pool(self._parts.outgoing.send_folder, folder)

    def submit(self, plans: Sequence[Plan]) -> None:
        """Take over jobs; returns at once."""
        flights = [Flight(plan, plan.spec) for plan in plans]
        self._flights.update((flight.name, flight) for flight in flights)
        self.loop.call_soon_threadsafe(self._spawn, self._submission.launch(flights))

    @property
    def active(self) -> bool:
        """Whether any job has not come to its end."""
        return any(not flight.ended for flight in list(self._flights.values()))

    async def poll(self) -> list[Outcome]:
        """Ask for the states of all jobs; return what has come to its end since the last call."""
        followed = {
            flight.grid_id: flight
            for flight in list(self._flights.values())
            if flight.grid_id is not None and not flight.ended
        }
        if followed:
            try:
                statuses = await once(self._parts.backend.states(list(followed)))
            except (Exception, SystemExit) as error:
                self._patience.note(_STATES, error)  # which changes no job
                for flight in followed.values():
                    flight.named = time.monotonic()
            else:
                self._patience.over(_STATES)
                for grid_id, flight in followed.items():
                    status = statuses.get(grid_id)
                    if status is None:
                        self._miss(flight)
                        continue
                    flight.status, flight.named = status, time.monotonic()
                    if status.state.ended and not flight.ended:
                        flight.ended = True
                        self._spawn(self._take(flight))
            await self._patience.watch_credentials()
        if self._taken:
            self._spawn(self._discard())
        if self._cancelling:
            return []  # what has become of the jobs is said in one line, not for each
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self, timeout: float, give_up: Callable[[], bool]) -> list[str]:
        """Cancel all jobs.

        Args:
            timeout: Seconds to wait for the backend.
            give_up: Asked several times a second whether to wait no longer.

        Returns:
            Of each job whose end is not confirmed, its id and title.
        """
        self._cancelling = True
        self._parts.outgoing.stop()
        # Those that have ended are being taken in, which close() waits for.
        flights = [flight for flight in self._flights.values() if not flight.ended]
        try:
            cancelled = asyncio.run_coroutine_threadsafe(spared(self._cancel(flights)), self.loop)
            left = self._wait(cancelled, timeout, give_up)
        except (Exception, SystemExit) as error:
            self._parts.say(f"Cancelling failed: {in_words(error)}")
            left = {flight.grid_id for flight in flights if flight.grid_id}
        for flight in flights:
            self._flights.pop(flight.name, None)
            # One without an id may be on its way: the next run looks for it by name.
            if flight.grid_id is not None and flight.grid_id not in left:
                self._parts.store.drop(flight.spec.name)
                with contextlib.suppress(GridError):
                    self._parts.journal.ended(flight.spec.name, Phase.CANCELLED)
        confirmed = sum(flight.grid_id not in left for flight in flights)
        if confirmed:
            self._parts.say(f"{confirmed} job(s) cancelled.")
        return [
            f"{flight.grid_id} ({flight.spec.title})"
            for flight in flights
            if flight.grid_id in left
        ]

    def _wait(self, future: Future[T], timeout: float, give_up: Callable[[], bool]) -> T:
        deadline = time.monotonic() + timeout
        while not future.done():
            if give_up():
                raise GridError("interrupted")
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
        self.loop.call_soon_threadsafe(self._patience.stop)
        drained = asyncio.run_coroutine_threadsafe(self._drain(), self.loop)
        with contextlib.suppress(GridError):
            self._wait(drained, _TRANSFERS_UNSAID if self._cancelling else math.inf, give_up)
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
        with contextlib.suppress(Exception):
            self.call(self._parts.backend.close(), CALL_TIMEOUT)
        drained.result()
        ended.result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self._parts.pool.shutdown(cancel_futures=True)

    async def _take(self, flight: Flight) -> None:
        """Bring back what an ended job has made, and decide what became of it."""
        parts, name = self._parts, flight.spec.name
        grid_id = flight.grid_id or ""
        folder = parts.folder / "incoming" / name
        # Some at a time: when a thousand jobs end at once, states are still to be asked for.
        async with self._landings:
            try:
                await self._in_pool(_make_anew, folder)
                await self._patience.call(
                    "results", lambda: parts.backend.retrieve(grid_id, folder), TRANSFER_TIMEOUT
                )
                await self._patience.call(
                    "outputs", lambda: self._in_pool(parts.landing.fetch, flight, folder), None
                )
                outcome = await self._in_pool(parts.landing.land, flight, folder)
            except (Exception, SystemExit) as error:
                outcome = parts.landing.failure(
                    flight, f"{_failed(flight)}its results could not be taken in: {in_words(error)}"
                )
            await self._conclude(flight, outcome)
            await self._in_pool(_remove, folder)
            await self._in_pool(parts.store.drop, name)
        self._taken.append(grid_id)

    async def _conclude(self, flight: Flight, outcome: Outcome) -> None:
        """Report what became of a job, or send it again if the infrastructure has failed it."""
        parts, site = self._parts, flight.status.site or outcome.site
        blamed = not outcome.success and parts.backend.blames_site(flight.status, outcome.reason)
        if blamed or flight.status.infrastructure:
            # DIRAC may have put it back into its queue, also after its outputs have come.
            await self._give_up(flight.grid_id or "")
        if not blamed:
            self._sites.fine(site)
            self._end(flight, outcome)
            return
        self._sites.fault(site)
        if self._cancelling or flight.faults >= parts.retries:
            self._end(flight, outcome)
            return
        parts.say(
            f"{outcome.message.splitlines()[0]} Sending it again ({flight.faults + 1} of at most "
            f"{parts.retries} times)."
        )
        flight.submit_again(site)
        self._spawn(self._submission.launch([flight]))

    async def _discard(self) -> None:
        """Tell the backend, in one call, of all jobs that have been taken in meanwhile."""
        taken, self._taken = self._taken, []
        with contextlib.suppress(Exception):  # it only costs room
            await once(self._parts.backend.discard(taken))

    def _fail(self, flight: Flight, reason: str) -> None:
        self._end(flight, self._parts.landing.failure(flight, reason))

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        if self._flights.pop(flight.name, None) is not None:
            self._outcomes.append(outcome)

    async def _cancel(self, flights: list[Flight]) -> set[str | None]:
        for flight in flights:  # whoever submits one at this moment cancels it then
            self._flights.pop(flight.name, None)
        ids = [flight.grid_id for flight in flights if flight.grid_id and not flight.ended]
        return set(await self._parts.backend.cancel(ids)) if ids else set()

    async def _cancel_left(self) -> None:
        """Cancel jobs that an earlier run has left: nobody waits for them any more."""
        parts = self._parts
        left = parts.journal.left()
        if not left:
            return
        names = [job.name for job in left]
        found = await self._patience.call("jobs by name", lambda: parts.backend.find(names))
        if found:
            parts.say(f"Cancelling {len(found)} job(s) that an earlier run left behind.")
            ids = set(found.values())
            unconfirmed = await parts.backend.cancel(ids)
            await parts.backend.discard(ids - unconfirmed)
            if unconfirmed:
                listed = ", ".join(sorted(unconfirmed))
                parts.say(f"Not confirmed to be cancelled, look for them yourself: {listed}")
        for job in left:
            await self._in_pool(parts.store.drop, job.name)
            parts.journal.ended(job.name, Phase.CANCELLED, "left behind by an earlier run")

    def _miss(self, flight: Flight) -> None:
        """Give up a job that the backend has not named for long: unknown is not yet failed."""
        silent = time.monotonic() - flight.named
        if silent > self._parts.lost_limit:
            self._fail(flight, f"{self._parts.backend.name} has not known it for {silent:.0f} s")
            self._spawn(self._give_up(flight.grid_id or ""))

    async def _give_up(self, grid_id: str) -> None:
        """Cancel a job that may come back: nobody waits for it any more."""
        with contextlib.suppress(Exception):
            await once(self._parts.backend.cancel([grid_id]))

    async def _in_pool(self, work: Callable[..., T], *args: Any) -> T:
        """Run something slow outside the loop."""
        return await self.loop.run_in_executor(self._parts.pool, work, *args)

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
        return await spared(coroutine)

    async def _calls_ended(self) -> None:
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _drain(self) -> None:
        """Wait for what is under way, such as taking in the last outputs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._taken:
            await self._discard()


def _failed(flight: Flight) -> str:
    status = flight.status
    return f"{status.detail}; " if status.infrastructure and status.detail else ""


def _make_anew(folder: Path) -> None:
    _remove(folder)
    folder.mkdir(parents=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
