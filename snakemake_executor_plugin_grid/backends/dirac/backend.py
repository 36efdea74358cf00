"""The DIRAC backend: jobs go to a DIRAC server, in bulk."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ...console.job_logs import read_text
from ...model.errors import PermanentError, TransientError
from ...model.names import JobName
from ...model.state import JobState, JobStatus
from ...resilience.calls import SANDBOX_TIMEOUT
from ...worker.description import LOG_FILE, REPORT_FILE
from ..base import SITE_REASONS, Backend, Payload, Rejected, Submitted, with_avoided
from ..packaging import JobPackage, package_of
from .account import account
from .client import Client
from .credentials import judge, read_proxy
from .jdl import Options, check_options, jdl, requirements, takes_lfn
from .limits import RunTimes, read_limits
from .placement import InputData
from .sandboxes import Sandboxes, sort_blobs
from .sites import Sites
from .states import Debouncer, given_up_as, job_status
from .versions import Versions, read_versions

if TYPE_CHECKING:
    from ...stores.spool import SpoolStore

T = TypeVar("T")

_IDS_PER_CALL = 1000
_TOO_MANY = re.compile(r"exceeds the limit of (\d+)")
_UPLOADED_LATER = "SB:StorageElement|uploaded-when-submitted"
_OWN_FOLDER = "/vo/user/u/user/snakemake-grid/delivered"
"""Placeholder for the folder that depends on the proxy, where the proxy is not read."""


class _Job(NamedTuple):
    number: int
    status: str


class DiracBackend(Backend):
    """Submits to the DIRAC installation that the user's client is set up for."""

    name = "dirac"
    poll_interval, states_per_round = 10.0, _IDS_PER_CALL
    submit_seconds = SANDBOX_TIMEOUT  # each call in there has its own limit
    site_reasons = SITE_REASONS

    def __init__(
        self,
        client: Client,
        options: Options,
        spool: SpoolStore,
        folder: Path,
        *,
        outputs: Callable[[], str],
        say: Callable[[str], None],
        fetch_inputs: bool = False,
        proxy_hours: float = 1.0,
    ) -> None:
        """Start nothing yet.

        Args:
            client: Of the installation.
            options: For the JDL.
            spool: Has small blobs.
            folder: For putting sandboxes together.
            outputs: Returns the LFN below which each job has its folder of outputs; called only
                if there is a storage element.
            say: Shows a line to the user.
            fetch_inputs: Whether workers fetch input data themselves, at any site.
            proxy_hours: For which a proxy has to be valid at the start.
        """
        self.client = client
        self._options = options
        self._fetch_inputs = fetch_inputs
        self._run_times = RunTimes(say)
        self._margin = proxy_hours * 3600
        self._max_parametric, self._endpoint = 0, ""
        self._spool = spool
        self._sandboxes = Sandboxes(client, spool, folder)
        self._outputs = outputs
        self._settling = Debouncer()
        self._sites: dict[str, str] = {}
        self._given_up: dict[str, str] = {}
        self._active_sites = Sites(client, options)
        self._placement = InputData(client)
        self._versions: Versions | None = None

    async def check(self) -> None:
        """Start the client; check the options, the proxy and the versions."""
        facts = await self.client.facts()
        self._max_parametric = int(facts["max_parametric"])
        self._endpoint = str(facts.get("server", ""))
        self._options = replace(
            self._options,
            limits=read_limits(facts.get("job_limits", {})),
            known_sites=frozenset(facts.get("sites", ())),
        )
        check_options(self._options)
        proxy = read_proxy(await self.client.call("proxy"))
        warning = judge(proxy, self._margin)
        if warning:
            raise PermanentError(warning)
        with contextlib.suppress(TransientError):  # a submission waits for the server
            await self._check_versions()
        if self._options.storage_element:
            known = await self.client.call("storage_elements")
            if self._options.storage_element not in known:
                raise PermanentError(
                    f"--grid-dirac-storage-element {self._options.storage_element}: there is no "
                    f"such; the installation has {', '.join(sorted(known))}."
                )
            folder = await asyncio.to_thread(self._outputs)
            self._options = replace(self._options, output_folder=folder)

    async def _check_versions(self) -> None:
        if self._versions is None:
            versions = await read_versions(self.client)
            versions.check()
            self._versions = versions
            self._options = replace(self._options, memory_in_gb=versions.memory_in_gb)

    async def check_credentials(self) -> str:
        """Check the proxy."""
        return judge(read_proxy(await self.client.call("proxy")), self._margin)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Submit in chunks of equal requirements, each in two steps.

        The server creates the jobs, and runs them when they are confirmed. Where the answer to the
        first step is lost, the jobs never run: the server fails them after some minutes
        (``StalledJobAgent`` of DIRAC 9.1.22), unless ``adopt`` confirms them.
        """
        await self._check_versions()
        limit = await self._limits()
        answers: dict[str, Submitted | Rejected] = {}
        required: dict[str, Mapping[str, str]] = {}
        avoided: dict[str, frozenset[str]] = {}
        for payload in payloads:
            avoid: frozenset[str] = frozenset()
            if payload.avoid and (self._fetch_inputs or not package_of(payload).lfn_sizes):
                avoid = await self._active_sites.avoidable(payload.spec, payload.avoid)
            avoided[payload.spec.name] = avoid
            try:
                required[payload.spec.name] = requirements(payload.spec, self._options, avoid)
                self._run_times.check(payload.spec, self._options.cpu_power, self._options.limits)
            except PermanentError as error:
                answers[payload.spec.name] = Rejected(str(error))
        accepted = [payload for payload in payloads if payload.spec.name in required]
        packages = self._sandboxes.load(accepted)
        if not self._fetch_inputs:
            # JobModel of DIRAC 9 refuses as many as MaxInputData, too.
            most = self._options.limits.max_input_data - 1
            packages = await self._placement.placed(packages, most)
        for chunk in self._chunks(packages, required, limit):
            required_here = required[chunk[0].name]
            answers.update(await self._submit_chunk(chunk, required_here, accepted[0].worker))
        return [with_avoided(answers[name], avoided[name]) for name in avoided]

    async def _submit_chunk(
        self, chunk: Sequence[JobPackage], required: Mapping[str, str], worker: Path
    ) -> dict[str, Submitted | Rejected]:
        names = [package.name for package in chunk]
        try:
            addresses = await self._sandboxes.upload(chunk, worker)
            text = jdl(
                _group_of(names[0]),
                names,
                required,
                addresses,
                [self._input_data(package) for package in chunk],
            )
            ids = await self.client.call("create", text)
            if len(ids) != len(names):
                raise PermanentError(f"DIRAC has made {len(ids)} jobs of {len(names)}")
            await self.client.call("confirm", ids)
        except PermanentError as error:
            smaller = _TOO_MANY.search(str(error))
            if smaller is None or int(smaller[1]) >= len(chunk) or int(smaller[1]) < 1:
                return dict.fromkeys(names, Rejected(str(error)))
            self._max_parametric = int(smaller[1])
            answers: dict[str, Submitted | Rejected] = {}
            for part in _portions(chunk, self._max_parametric):
                answers.update(await self._submit_chunk(part, required, worker))
            return answers
        return {name: Submitted(str(number)) for name, number in zip(names, ids, strict=True)}

    def may_bundle(self, payload: Payload) -> bool:
        """Return whether DIRAC does not have to place a job by its input data."""
        return self._fetch_inputs or not package_of(payload).grid_files

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Ask for all jobs in one call, and for the sites of jobs that have one."""
        numbers = [int(grid_id) for grid_id in ids]
        found: dict[str, Any] = {}
        for portion in _portions(numbers, _IDS_PER_CALL):
            found.update(await self.client.call("states", portion))
        statuses = {
            grid_id: self._settling.settle(
                grid_id,
                answer[0],
                job_status(answer[0], answer[1], answer[2], self._sites.get(grid_id, "")),
            )
            for grid_id, answer in found.items()
        }
        for grid_id, status in statuses.items():
            killed = status.state is JobState.CANCELLED and found[grid_id][0] == "Failed"
            if killed and (minor := await self._given_up_as(grid_id)):
                statuses[grid_id] = job_status("Failed", minor, "", status.site)
        await self._add_sites(statuses)
        return statuses

    async def _given_up_as(self, grid_id: str) -> str:
        """Ask once whether and why the server gave up a job before it was killed."""
        if grid_id not in self._given_up:
            history: list[list[str]] = []
            with contextlib.suppress(PermanentError):  # then it counts as killed
                history = await self.client.call("history", int(grid_id))
            self._given_up[grid_id] = given_up_as(history)
        return self._given_up[grid_id]

    async def _add_sites(self, statuses: dict[str, JobStatus]) -> None:
        """Ask for the site of each job once; a rescheduled job may run elsewhere."""
        for grid_id, status in statuses.items():
            if status.state is JobState.QUEUED:
                self._sites.pop(grid_id, None)
        unknown = [
            int(grid_id)
            for grid_id, status in statuses.items()
            if grid_id not in self._sites
            and status.state not in (JobState.QUEUED, JobState.UNKNOWN)
        ]
        for portion in _portions(unknown, _IDS_PER_CALL):
            for grid_id, site in (await self.client.call("sites", portion)).items():
                site = "" if site in ("ANY", "Multiple") else site
                self._sites[grid_id] = site
                if grid_id in statuses:
                    statuses[grid_id] = _at(statuses[grid_id], site)

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Find jobs by their group and name; unknown names are left out."""
        return {name: str(found[0].number) for name, found in (await self._jobs(names)).items()}

    async def adopt(self, names: Collection[str]) -> Mapping[str, str]:
        """Find jobs, confirm those that wait for it, and kill duplicates."""
        jobs = await self._jobs(names)
        unconfirmed = [
            found[0].number for found in jobs.values() if found[0].status == "Submitting"
        ]
        superfluous = [job.number for found in jobs.values() for job in found[1:]]
        if unconfirmed:
            await self.client.call("confirm", unconfirmed)
        if superfluous:
            await self.client.call("kill", superfluous)
        return {name: str(found[0].number) for name, found in jobs.items()}

    async def _jobs(self, names: Collection[str]) -> dict[str, list[_Job]]:
        """Return the jobs of each name: those that may run first, then by age."""
        found: dict[str, list[_Job]] = {}
        for group in sorted({_group_of(name) for name in names}):
            for number, name, status, minor in sorted(await self.client.call("jobs_of", group)):
                job = _Job(number, status)
                if name in names and status != "Deleted" and not _was_given_up(status, minor):
                    found.setdefault(name, []).append(job)
        for jobs in found.values():
            jobs.sort(key=lambda job: job.status == "Submitting")
        return found

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Kill all in one call; jobs that have already ended count as confirmed."""
        numbers = [int(grid_id) for grid_id in ids]
        killed: set[int] = set()
        for portion in _portions(numbers, _IDS_PER_CALL):
            killed.update(await self.client.call("kill", portion))
        left = [number for number in numbers if number not in killed]
        found = await self.client.call("states", left) if left else {}
        return {grid_id for grid_id, words in found.items() if not job_status(*words).state.ended}

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Unpack the output sandbox; for a job without one, write what the server knows."""
        names = await self._fetch_sandbox(grid_id, folder)
        if REPORT_FILE not in names and LOG_FILE not in names:
            text = await self._account(grid_id, folder)
            await asyncio.to_thread((folder / LOG_FILE).write_text, text)
        await asyncio.to_thread(sort_blobs, folder, names)

    async def logs(self, grid_id: str) -> str:
        """Return the output of the job, and the server's history of it."""
        with tempfile.TemporaryDirectory() as folder:
            await self._fetch_sandbox(grid_id, Path(folder))
            payload = await asyncio.to_thread(read_text, Path(folder) / LOG_FILE)
            return payload + await self._account(grid_id, Path(folder))

    async def _fetch_sandbox(self, grid_id: str, folder: Path) -> list[str]:
        names: list[str] = await self.client.call(
            "fetch_sandbox", int(grid_id), str(folder), limit=SANDBOX_TIMEOUT
        )
        return names

    async def _account(self, grid_id: str, folder: Path) -> str:
        """Return the output of the wrapper and the server's history of a job."""
        history = await self.client.call("history", int(grid_id))
        return await asyncio.to_thread(account, grid_id, history, folder)

    async def discard(self, ids: Collection[str]) -> None:
        """Forget them here; the server keeps jobs so that their owner can inspect them."""
        self._settling.forget(ids)
        for grid_id in ids:
            self._sites.pop(grid_id, None)
            self._given_up.pop(grid_id, None)

    @property
    def endpoint(self) -> str:
        """Address of the configuration that the installation's servers share."""
        return self._endpoint

    @property
    def log_limit(self) -> int | None:
        """What fits into an output sandbox beside the report."""
        return self._spool.limits.log

    def monitor_hint(self, name: str) -> str:
        """Return the job group of the run."""
        group = _group_of(name)
        return f"job group {group} (dirac-wms-job-status -g {group})"

    def describe(self, payload: Payload) -> str:
        """Return the JDL of a job by itself."""
        options = self._options
        if options.storage_element and not options.output_folder:  # check() has not been called
            options = replace(options, output_folder=_OWN_FOLDER)
        required = requirements(payload.spec, options, payload.avoid)
        self._run_times.check(payload.spec, options.cpu_power, options.limits)
        package = package_of(payload)
        package = replace(package, lfns=tuple(filter(takes_lfn, package.lfn_sizes)))
        name = payload.spec.name
        return jdl(
            _group_of(name), [name], required, [[_UPLOADED_LATER]], [self._input_data(package)]
        )

    async def close(self) -> None:
        """End the client."""
        await asyncio.to_thread(self.client.close)

    async def _limits(self) -> int:
        """Return how many jobs one submission may have."""
        if not self._max_parametric:
            self._max_parametric = int((await self.client.facts())["max_parametric"])
        return self._max_parametric

    def _chunks(
        self, packages: Sequence[JobPackage], required: Mapping[str, Mapping[str, str]], limit: int
    ) -> Iterator[Sequence[JobPackage]]:
        """Group jobs that one JDL can describe and one sandbox can hold."""
        kinds: dict[Any, list[JobPackage]] = {}
        for package in packages:
            kind = (
                _group_of(package.name),
                frozenset(required[package.name].items()),
                len(self._input_data(package)),
                len(package.separate),
            )
            kinds.setdefault(kind, []).append(package)
        for alike in kinds.values():
            yield from self._sandboxes.portions(alike, limit)

    def _input_data(self, package: JobPackage) -> list[str]:
        return [] if self._fetch_inputs else [f"LFN:{lfn}" for lfn in package.lfns]


def _group_of(name: str) -> str:
    """Return the job group of a job: that of its run, which is part of its name."""
    return f"snakemake-{JobName.parse(name).run}"


def _was_given_up(status: str, minor: str) -> bool:
    """Return whether the server has failed a job because nobody confirmed it in time.

    ``StalledJobAgent`` of DIRAC 9.1.22 leaves the minor status as it was.
    """
    return status == "Failed" and minor == "Bulk transaction confirmation"


def _at(status: JobStatus, site: str) -> JobStatus:
    return JobStatus(status.state, status.detail, site, status.infrastructure)


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
