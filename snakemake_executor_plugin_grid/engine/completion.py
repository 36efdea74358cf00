"""The second half of a job's way: bring back what it made, and decide what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..model.errors import EndingError, GridError
from ..model.tracked import Outcome, TrackedJob
from ..resilience.calls import TRANSFER_TIMEOUT, in_words, with_timeout
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.site_bans import SiteBans

if TYPE_CHECKING:
    from .context import Parts

T = TypeVar("T")

_LANDINGS = 8


class Completion:
    """Takes in jobs that have ended.

    What a job made stays on the grid until Snakemake has noted its success, so that a run which
    dies at any moment before can take it in once more.
    """

    def __init__(
        self,
        parts: Parts,
        sites: SiteBans,
        breaker: CircuitBreaker,
        end: Callable[[TrackedJob, Outcome], None],
        again: Callable[[TrackedJob], None],
    ) -> None:
        """Use the parts of a controller.

        Args:
            parts: The parts.
            sites: Counts their faults.
            breaker: Counts the faults of the grid.
            end: Reports what became of a job.
            again: Submits a job once more.
        """
        self._parts = parts
        self._sites = sites
        self._breaker = breaker
        self._end = end
        self._again = again
        self._landings = asyncio.Semaphore(_LANDINGS)
        store = f"store {parts.stores.url}"
        self._patience_with_store = parts.outages.beside(store, parts.backend.check_credentials)
        self._landed: dict[str, TrackedJob] = {}
        self._done: dict[str, str] = {}  # names of jobs by their ids
        self.under_way = 0

    async def take(self, job: TrackedJob) -> None:
        """Bring back what an ended job has made, and decide what became of it."""
        self.under_way += 1
        try:
            # Some at a time: when a thousand jobs end at once, states are still to be asked for.
            async with self._landings:
                await self._take(job)
        except EndingError:
            pass  # the next run takes it in
        finally:
            self.under_way -= 1

    async def _take(self, job: TrackedJob) -> None:
        parts, outages = self._parts, self._parts.outages
        folder = parts.folder / "incoming" / job.spec.name
        try:
            await outages.call("results", lambda: self._retrieve(job, folder), TRANSFER_TIMEOUT)
            outages = self._patience_with_store
            await outages.call("outputs", lambda: _apart(parts.landing.fetch, job, folder), None)
            outcome = await outages.call(
                "outputs", lambda: _apart(parts.landing.land, job, folder), None
            )
        except EndingError:
            raise
        except OSError as error:  # of this side: its results stay where they are
            words = f"its results could not be taken in: {in_words(error)}; the next run tries it"
            self._end(job, parts.landing.failure(job, words, final=False))
            return
        except (Exception, SystemExit) as error:
            outcome = parts.landing.failure(
                job, f"{_failed(job)}its results could not be taken in: {in_words(error)}"
            )
        await self._conclude(job, outcome)
        await self._in_pool(_remove, folder)

    async def _retrieve(self, job: TrackedJob, folder: Path) -> None:
        await self._in_pool(_make_anew, folder)
        await self._parts.backend.retrieve(job.grid_id or "", folder)

    async def _conclude(self, job: TrackedJob, outcome: Outcome) -> None:
        """Report what became of a job, or send it again if the infrastructure has failed it."""
        parts, site = self._parts, job.status.site or outcome.site
        blamed = not outcome.success and parts.backend.blames_site(job.status, outcome.reason)
        if blamed or job.status.infrastructure:
            # DIRAC may have put it back into its queue, also after its outputs have come.
            await self.give_up(job.grid_id or "")
        if outcome.success:
            self._landed[job.name] = job
        else:
            await self._drop([job])
        if not blamed:
            self._sites.fine(site)
            self._breaker.fine(job.name, site)
            self._end(job, outcome)
            return
        self._sites.fault(site)
        costs = self._breaker.fault(job.name, outcome.reason or job.status.detail, site)
        if parts.outages.stopped or (costs and job.charged >= parts.retries):
            self._end(job, outcome)
            return
        budget = f"{job.charged + 1} of at most {parts.retries} times" if costs else "at no cost"
        parts.say(f"{outcome.message.splitlines()[0]} Sending it again ({budget}).")
        job.submit_again(site, costs=costs)
        self._again(job)

    async def acknowledge(self, names: Iterable[str]) -> None:
        """Let go of what jobs made, now that Snakemake has noted their success."""
        jobs = [self._landed.pop(name) for name in names if name in self._landed]
        if not jobs:
            return
        with contextlib.suppress(GridError):  # the next run finds that Snakemake knows
            await self._in_pool(self._parts.journal.noted, [job.spec.name for job in jobs])
            await self._drop(jobs)

    async def _drop(self, jobs: Iterable[TrackedJob]) -> None:
        for job in jobs:
            with contextlib.suppress(GridError, OSError):  # it only costs room
                await self._in_pool(self._parts.stores.results.drop, job.spec.name)
            self._done[job.grid_id or ""] = job.spec.name

    async def discard(self) -> None:
        """Tell the backend, in one call, of all jobs of which nothing more is wanted."""
        done, self._done = self._done, {}
        if done:
            with contextlib.suppress(Exception):  # it only costs room, and the next run does it
                await with_timeout(self._parts.backend.discard(done))
                await self._in_pool(self._parts.journal.discarded, list(done.values()))

    async def give_up(self, grid_id: str) -> None:
        """Cancel a job that may come back: nobody waits for it any more."""
        with contextlib.suppress(Exception):
            await with_timeout(self._parts.backend.cancel([grid_id]))

    def _in_pool(self, work: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
        return in_pool(self._parts, work, *args)


async def in_pool(parts: Parts, work: Callable[..., T], *args: Any) -> T:
    """Run something slow outside the loop."""
    return await asyncio.get_running_loop().run_in_executor(parts.pool, work, *args)


async def _apart(work: Callable[..., T], *args: Any) -> T:
    """Run something in a thread of its own, which does not keep the program from ending.

    All of it may be done again. The pool would be full of those that wait for a store.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # then it is one

    def run() -> None:
        result, problem = None, None
        try:
            result = work(*args)
        except BaseException as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, result, problem)

    threading.Thread(target=run, name="landing", daemon=True).start()
    return await future


def _failed(job: TrackedJob) -> str:
    status = job.status
    return f"{status.detail}; " if status.infrastructure and status.detail else ""


def _make_anew(folder: Path) -> None:
    _remove(folder)
    folder.mkdir(parents=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
