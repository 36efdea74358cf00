"""A backend that packs jobs into bundles, each a job of another backend.

Every job keeps its own name, report, log and outcome. The rest of the package does not know of
bundles, but for the ids of their jobs: that of the bundle and the name of the job.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...model.bundle_size import OFF
from ...model.job import JobSpec
from ...model.names import member_id, split_id
from ...model.state import JobState, JobStatus
from ...resilience.threads import in_thread
from ...stores import Stores
from ...worker.description import LOG_FILE, REPORT_FILE
from ..base import Backend, Capacity, Payload, Rejected, Submitted
from .cancel_lists import CancelLists
from .cancelling import Cancelling
from .packing import Policy, combined, pack
from .payload import bundle_name, bundle_payload
from .registry import BundleRegistry
from .report_lookup import ReportLookup
from .results import ReportsInStore, results_of
from .slots import Slots

Durations = Callable[[Iterable[str]], Mapping[str, float]]
"""Returns the seconds that jobs of rules usually take, by rule; blocks."""
_MAY_RUN = (JobState.AT_SITE, JobState.RUNNING)
"""PanDA is asked once a minute whether a job that is at a site runs."""
_WAITS = "waits in its bundle"
_NOT_RUN = "its bundle has ended without its report"


class BundlingBackend(Backend):
    """Packs jobs into bundles, and follows each job."""

    def __init__(
        self,
        backend: Backend,
        stores: Stores,
        registry: BundleRegistry,
        policy: Policy,
        durations: Durations,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        """Start nothing yet.

        Args:
            backend: Runs jobs and bundles.
            stores: Through which files travel.
            registry: Knows which job is in which bundle.
            policy: Which jobs are bundled.
            durations: How long jobs take.
            folder: For files that come back; it is emptied.
            say: Shows a line to the user.
        """
        self.inner = backend
        self.name, self.poll_interval = backend.name, backend.poll_interval
        self.submit_seconds, self.settle_seconds = backend.submit_seconds, backend.settle_seconds
        self.brings_files, self.site_reasons = backend.brings_files, backend.site_reasons
        self.outlives_run = backend.outlives_run
        self.states_per_round = backend.states_per_round
        self._stores, self._registry = stores, registry
        self._policy, self._durations, self._say = policy, durations, say
        self._results = results_of(backend, stores, folder)
        self._lookup = ReportLookup(self._results, say) if self._results is not None else None
        self._reported: dict[str, set[str]] = {}
        self._cancel_lists: CancelLists | None = None
        if isinstance(self._results, ReportsInStore):
            self._cancel_lists = CancelLists(self._results.store, folder)
        self._cancelling = Cancelling(backend, registry, self._reported, self._cancel_lists, say)
        self._slots = Slots(policy.spread)
        self._alone: set[str] = set()
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run

    async def check(self) -> None:
        """Check the other backend."""
        await self.inner.check()

    async def check_credentials(self) -> str:
        """Check those of the other backend."""
        return await self.inner.check_credentials()

    # Submission

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Submit bundles, and jobs that stay alone, in one call.

        After a lost answer, the same jobs go into the same bundles, or alone: the system may have
        them.
        """
        expected = await self._expected(payloads)
        answers: dict[str, Submitted | Rejected] = {}
        groups = self._known(payloads)
        tried = {payload.spec.name for group in groups for payload in group}
        for payload in payloads:
            name = payload.spec.name
            if name not in tried and (name in self._alone or not self._may_bundle(payload)):
                groups.append([payload])
                tried.add(name)
        left = [payload for payload in payloads if payload.spec.name not in tried]
        groups += pack(left, replace(self._policy, spread=self._slots.free), expected)
        alone = {group[0].spec.name for group in groups if len(group) == 1}
        self._alone |= alone
        given: Sequence[Submitted | Rejected] = []
        self._slots.begin(len(groups))
        try:
            sent = await asyncio.gather(*(self._merged(group, expected) for group in groups))
            given = await self.inner.submit(sent)
        finally:
            accepted = [one.grid_id for one in given if isinstance(one, Submitted)]
            self._slots.answered(len(groups), accepted)
        self._alone -= alone
        for group, answer in zip(groups, given, strict=True):
            for payload in group:
                name = payload.spec.name
                answers[name] = answer
                if isinstance(answer, Submitted) and self._registry.bundle_of(name):
                    answers[name] = replace(answer, grid_id=member_id(answer.grid_id, name))
        return [answers[payload.spec.name] for payload in payloads]

    def gathers(self, spec: JobSpec) -> bool:
        """Return whether a job waits a moment, as it may be bundled."""
        return self._results is not None and self._policy.size_of(spec) != OFF

    def _known(self, payloads: Sequence[Payload]) -> list[list[Payload]]:
        """Return the bundles that were submitted before, without an answer."""
        by_name = {payload.spec.name: payload for payload in payloads}
        return [
            [by_name[job] for job in self._registry.jobs_of(bundle) if job in by_name]
            for bundle in self._registry.bundles_of(by_name)
        ]

    def _may_bundle(self, payload: Payload) -> bool:
        return self._results is not None and self.inner.may_bundle(payload)

    async def _expected(self, payloads: Sequence[Payload]) -> Callable[[JobSpec], float | None]:
        known: Mapping[str, float] = {}
        if any(self._policy.size_of(payload.spec) != OFF for payload in payloads):
            known = await in_thread(self._durations, {payload.spec.rule for payload in payloads})
        return lambda spec: known.get(spec.rule)

    async def _merged(
        self, group: Sequence[Payload], expected: Callable[[JobSpec], float | None]
    ) -> Payload:
        """Return the payload of a bundle, whose jobs are noted first."""
        names = [payload.spec.name for payload in group]
        known = self._registry.bundle_of(names[0])
        if len(group) == 1 and known is None:
            return group[0]
        bundle = known or bundle_name(names)
        lists = self._cancel_lists
        await self._registry.submitting(bundle, names)
        specs = [payload.spec for payload in group]
        return bundle_payload(
            bundle,
            group,
            combined(specs, self._policy, expected),
            self._policy.side_by_side(specs[0].resources),
            inbox=self._stores.results.inbox if lists else None,
            cancel_list=await lists.begin(bundle) if lists else "",
        )

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Ask for all bundles and jobs in one call, then for reports that may be there."""
        bundles: dict[str, list[str]] = {}
        for grid_id in ids:
            bundle_id, job = split_id(grid_id)
            bundles.setdefault(bundle_id, []).extend([job] if job else [])
        found = dict(await self.inner.states(list(bundles)))
        self._slots.seen({one: status.state for one, status in found.items()})
        shared = {one: jobs for one, jobs in bundles.items() if jobs and one in found}
        collected: set[str] = set()
        if self._lookup is not None:
            running = [
                self._open(one, jobs)
                for one, jobs in shared.items()
                if found[one].state in _MAY_RUN
            ]
            reported = await self._lookup.look(running, self._side_by_side)
            for one, jobs in shared.items():
                self._reported.setdefault(one, set()).update(reported.intersection(jobs))
            ended = {one: jobs for one, jobs in shared.items() if found[one].state.ended}
            self._lookup.forget(shared.keys() - ended.keys())
            collected = await self._collect(self._lookup, ended)
        for bundle_id, jobs in shared.items():
            found |= self._members(bundle_id, jobs, found.pop(bundle_id), bundle_id in collected)
        return found

    def _open(self, bundle_id: str, jobs: Collection[str]) -> list[str]:
        """Return the jobs of a bundle whose reports have not been seen, in their order."""
        bundle = self._registry.bundle_of(next(iter(jobs))) or ""
        known = self._reported.setdefault(bundle_id, set())
        return [job for job in self._registry.jobs_of(bundle) or jobs if job not in known]

    def _members(
        self, bundle_id: str, jobs: Collection[str], status: JobStatus, over: bool
    ) -> dict[str, JobStatus]:
        """Return the states of jobs of a bundle; ``over``: those without a report are lost."""
        if self._results is None:  # of an earlier run, which had another store
            return {member_id(bundle_id, job): status for job in jobs}
        known = self._reported[bundle_id]
        side_by_side = self._side_by_side if status.state is JobState.RUNNING else 1
        begun = self._open(bundle_id, jobs)[:side_by_side]
        states: dict[str, JobStatus] = {}
        for job in jobs:
            if job in known:
                one = JobStatus(JobState.DONE, "", status.site)
            elif over:
                one = _lost(status)
            elif status.state.ended:
                one = replace(status, state=JobState.RUNNING, infrastructure=False)
            elif status.state is JobState.RUNNING and job not in begun:
                one = replace(status, state=JobState.AT_SITE, detail=_WAITS)
            else:
                one = status
            states[member_id(bundle_id, job)] = one
        return states

    @property
    def _side_by_side(self) -> int:
        return self._policy.processors or 1

    async def _collect(
        self, lookup: ReportLookup, ended: Mapping[str, Collection[str]]
    ) -> set[str]:
        """Find the reports of bundles that have ended; return those of which that is done."""
        left = {one: self._open(one, jobs) for one, jobs in ended.items()}
        asked = {
            one: (self._registry.bundle_of(jobs[0]) or "", jobs)
            for one, jobs in left.items()
            if jobs
        }
        done = set(ended) - set(asked)
        for one, reported in (await lookup.collect(asked)).items():
            self._reported[one] |= reported
            done.add(one)
        return done

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Find jobs, or the bundles that they are in."""
        return await self._by_name(names, self.inner.find)

    async def adopt(self, names: Collection[str]) -> Mapping[str, str]:
        """Find them, and make sure that they run."""
        return await self._by_name(names, self.inner.adopt)

    async def _by_name(
        self,
        names: Collection[str],
        ask: Callable[[Collection[str]], Awaitable[Mapping[str, str]]],
    ) -> Mapping[str, str]:
        bundles = self._registry.bundles_of(names)
        alone = set(names).difference(*bundles.values())
        found = await ask([*alone, *bundles])
        ids = {name: found[name] for name in alone if name in found}
        for bundle, jobs in bundles.items():
            if bundle in found:
                ids |= {job: member_id(found[bundle], job) for job in jobs}
        return ids

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs alone, bundles of which no job is wanted, and jobs that have not begun."""
        return await self._cancelling.cancel(ids)

    def works_at(self, site: str) -> None:
        """Tell it to the other backend."""
        self.inner.works_at(site)

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Copy report and log of a job; without both, write what the system knows of its bundle."""
        bundle_id, job = split_id(grid_id)
        if not job:
            await self.inner.retrieve(bundle_id, folder)
            return
        if self._results is not None:
            bundle = self._registry.bundle_of(job) or ""
            await self._results.retrieve(bundle, bundle_id, job, folder)
        if not (folder / REPORT_FILE).exists() and not (folder / LOG_FILE).exists():
            text = await self.inner.logs(bundle_id)
            await asyncio.to_thread((folder / LOG_FILE).write_text, text)

    async def logs(self, grid_id: str) -> str:
        """Return the output of a job, and what the system has of its bundle."""
        bundle_id, job = split_id(grid_id)
        own = ""
        if job and self._results is not None:
            own = await self._results.logs(self._registry.bundle_of(job) or "", job)
        return own + await self.inner.logs(bundle_id)

    async def discard(self, ids: Collection[str]) -> None:
        """Release jobs alone, and bundles of which nothing is kept any more."""
        jobs = {job: bundle_id for bundle_id, job in map(split_id, ids) if job}
        over = {bundle_id for bundle_id, job in map(split_id, ids) if not job}
        over |= await self._release(jobs)
        self._slots.forget(over)
        if self._lookup is not None:
            self._lookup.forget(over)
        if over:
            await self.inner.discard(over)

    async def forget(self, names: Collection[str]) -> None:
        """Release what is kept for jobs that were not found."""
        bundles = self._registry.bundles_of(names)
        await self._release(dict.fromkeys(names, ""))
        await self.inner.forget([*set(names).difference(*bundles.values()), *bundles])

    async def _release(self, jobs: Mapping[str, str]) -> set[str]:
        """Forget jobs; return the ids of bundles that have none left."""
        ids = {self._registry.bundle_of(job): bundle_id for job, bundle_id in jobs.items()}
        over = self._registry.ended(jobs)
        for bundle in over:
            self._reported.pop(ids[bundle], None)
            if self._results is not None:
                await self._results.forget(bundle)
            if self._cancel_lists is not None:
                await self._cancel_lists.remove(bundle)
        return {ids[bundle] for bundle in over}

    # What the user sees

    @property
    def endpoint(self) -> str:
        """The server of the other backend."""
        return self.inner.endpoint

    @property
    def capacity(self) -> Capacity | None:
        """That of the other backend."""
        return self.inner.capacity

    @property
    def log_limit(self) -> int | None:
        """That of the other backend."""
        return self.inner.log_limit

    def monitor_hint(self, name: str) -> str:
        """Return that of the other backend."""
        return self.inner.monitor_hint(self._registry.bundle_of(name) or name)

    def monitor_url(self, grid_id: str) -> str:
        """Return the URL of a job or its bundle."""
        return self.inner.monitor_url(split_id(grid_id)[0])

    def blames_site(self, status: JobStatus, reason: str) -> bool:
        """Decide as the other backend; a job that its bundle has not run is sent again."""
        if not reason and status.infrastructure and status.detail.startswith(_NOT_RUN):
            return True
        return self.inner.blames_site(status, reason)

    def describe(self, payload: Payload) -> str:
        """Return what would be submitted for a job alone."""
        return self.inner.describe(payload)

    async def close(self) -> None:
        """Close the other backend."""
        if self._lookup is not None:
            self._lookup.close()
        await self.inner.close()


def _lost(status: JobStatus) -> JobStatus:
    """Return the state of a job whose bundle has ended without its report."""
    if status.state is JobState.CANCELLED and not status.infrastructure:
        return status  # somebody has cancelled the bundle
    detail = f"{_NOT_RUN}: {status.detail}" if status.detail else _NOT_RUN
    return replace(status, state=JobState.FAILED, detail=detail, infrastructure=True)
