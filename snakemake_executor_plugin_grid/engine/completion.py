"""Second half of a job's life: fetches its outputs and decides whether it succeeded."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..console import error_log
from ..model.errors import EndingError, GridError
from ..model.state import JobState
from ..model.tracked import Outcome, TrackedJob
from ..resilience.calls import TRANSFER_TIMEOUT, in_words, with_timeout
from ..resilience.threads import in_thread
from .context import RunContext
from .faults import Faults
from .outcomes import Outcomes
from .outputs import Outputs

_AT_A_TIME = 8


class Completion:
    """Completes jobs that have ended on the grid.

    The results of a job stay on the grid until Snakemake has recorded its success. A run that dies
    before that can fetch them once more.
    """

    def __init__(
        self,
        context: RunContext,
        outputs: Outputs,
        outcomes: Outcomes,
        faults: Faults,
        end: Callable[[TrackedJob, Outcome], None],
        resubmit: Callable[[TrackedJob], None],
    ) -> None:
        """Complete the jobs of a run.

        Args:
            context: Of the run.
            outputs: Brings outputs back.
            outcomes: Records the ends of jobs.
            faults: Decides which jobs are resubmitted.
            end: Reports the outcome of a job.
            resubmit: Resubmits a job.
        """
        self._context = context
        self._outputs = outputs
        self._outcomes = outcomes
        self._faults = faults
        self._end = end
        self._resubmit = resubmit
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        url = context.stores.url  # empty until the server has told it
        self._store_outages = context.outages.beside(
            f"store {url}" if url else "the store of the outputs", context.backend.check_credentials
        )
        self._succeeded: dict[str, TrackedJob] = {}  # until Snakemake has recorded it
        self._disposable: dict[str, str] = {}  # names of jobs by their ids on the grid

    async def complete(self, job: TrackedJob) -> None:
        """Fetch the outputs of an ended job, and decide whether it succeeded."""
        self._outputs.grid_files.ended(job.spec)
        try:
            # A few at a time: when a thousand jobs end at once, polling must go on.
            async with self._slots:
                await self._complete(job)
        except EndingError:
            pass  # the next run completes it

    async def _complete(self, job: TrackedJob) -> None:
        folder = self._outputs.incoming(job)
        try:
            outcome = await self._bring_back(job, folder)
        except EndingError:
            raise
        except GridError as error:
            detail = job.status.detail if job.status.infrastructure else ""
            reason = f"its results could not be fetched: {in_words(error)}"
            outcome = await self._outcomes.fail(job, f"{detail}; {reason}" if detail else reason)
            await asyncio.to_thread(_remove, folder)
        except Exception as error:  # of this host, or a bug: the results stay where they are
            reason = f"its results could not be installed: {in_words(error)}"
            if not (job.adopted and error_log.is_bug(error)):  # a second bug would be the same one
                reason = f"{reason}; the next run tries again"
                self._end(job, await self._outcomes.fail(job, reason, final=False))
                return
            outcome = await self._outcomes.fail(job, reason)
            await asyncio.to_thread(_remove, folder)
        await self._conclude(job, outcome)

    async def _bring_back(self, job: TrackedJob, folder: Path) -> Outcome:
        outages, store_outages = self._context.outages, self._store_outages

        async def retrieve() -> None:
            await asyncio.to_thread(_make_empty, folder)
            await self._context.backend.retrieve(job.grid_id or "", folder)

        async def fetch() -> None:
            await in_thread(self._outputs.fetch, job)

        async def install() -> Outcome:
            return await in_thread(self._install, job, folder)

        await outages.call("results", retrieve, TRANSFER_TIMEOUT)
        await store_outages.call("outputs", fetch, None)
        return await store_outages.call("outputs", install, None)

    def _install(self, job: TrackedJob, folder: Path) -> Outcome:
        outcome = self._outputs.install(job, self._outcomes)
        _remove(folder)
        return outcome

    async def _conclude(self, job: TrackedJob, outcome: Outcome) -> None:
        """Report the outcome of a job, or resubmit it if it failed because of the grid."""
        backend = self._context.backend
        if outcome.site:
            backend.works_at(outcome.site)
        blamed = not outcome.success and backend.blames_site(job.status, outcome.reason)
        if blamed or job.status.infrastructure:
            # DIRAC may have put it back into its queue, even after its outputs have come.
            await self.cancel(job.grid_id or "")
        if outcome.success:
            self._succeeded[job.name] = job
            self._tell_contradiction(job)
        else:
            await self.drop([job])
        if not blamed:
            self._faults.none(job, outcome)
        elif self._faults.note(job, outcome, ending=self._context.outages.stopped):
            self._resubmit(job)
            return
        self._end(job, outcome)

    def _tell_contradiction(self, job: TrackedJob) -> None:
        status = job.status
        if status.state is not JobState.DONE:
            self._context.say(
                f"{job.spec.title}: {self._context.backend.name} calls job {job.grid_id} "
                f"{status.state.value} ({status.detail or 'no reason given'}), but its report and "
                "its outputs are good: it has succeeded."
            )

    async def acknowledge(self, names: Iterable[str]) -> None:
        """Release the remote results of jobs whose success Snakemake has recorded."""
        jobs = [self._succeeded.pop(name) for name in names if name in self._succeeded]
        if not jobs:
            return
        with contextlib.suppress(GridError):  # the next run finds that Snakemake has recorded it
            await self._context.journal.noted([job.spec.name for job in jobs])
            await self.drop(jobs)

    async def drop(self, jobs: Collection[TrackedJob]) -> None:
        """Release what the store keeps for jobs, and with `discard` what the backend keeps."""
        await in_thread(self._drop, [job.spec.name for job in jobs])
        # All at once, so that the backend is told in one call.
        self._disposable.update({job.grid_id or "": job.spec.name for job in jobs})

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._context.stores.results.drop(name)
            except Exception as error:  # it only wastes space
                error_log.write("removing results from the store", error)

    async def discard(self) -> None:
        """Tell the backend, in one call, which jobs it need not keep any longer."""
        jobs, self._disposable = self._disposable, {}
        if jobs:
            # The next run does it if this fails; until then it only wastes space.
            with contextlib.suppress(Exception):
                await with_timeout(self._context.backend.discard(jobs))
                await self._context.journal.discarded(list(jobs.values()))

    async def cancel(self, grid_id: str) -> None:
        """Cancel a job that this run no longer follows but that the backend may start again."""
        with contextlib.suppress(Exception):
            await with_timeout(self._context.backend.cancel([grid_id]))


def _make_empty(folder: Path) -> None:
    _remove(folder)
    folder.mkdir(parents=True)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
