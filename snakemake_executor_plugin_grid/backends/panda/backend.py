"""The PanDA backend: jobs of one shape go to a PanDA server as one task."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...console.once import once
from ...model.errors import GridError, PermanentError
from ...model.job import JobSpec, words
from ...model.state import JobState, JobStatus
from ...resilience.calls import SANDBOX_TIMEOUT
from ...stores.base import PrivateFiles
from ...worker.description import LOG_FILE
from ..base import SITE_REASONS, Backend, Payload, Rejected, Submitted, with_avoided
from ..delivered import fetch_log, fetch_report
from .cancelling import Cancelling
from .client import Client
from .credentials import check_credentials, judge, read_credentials
from .following import DETAILS_LIMIT, Following, Wanted
from .job_sample import JobSample, job_name
from .reasons import explain
from .routes import Route, Task
from .rse_sites import about_unknown, unknown_rses
from .sandboxes import Sandboxes
from .submitting import Submitting
from .task import Options, near_inputs, shape, task, task_name
from .task_registry import TaskRegistry

_NO_TASK = "snakemake-grid.no.such.task"
_SANDBOX_LATER = "sources.uploaded-when-submitted.tar.gz"
_CACHE_LATER = "https://cache-of-the-server"


class PandaBackend(Backend):
    """Submits to the PanDA server that the user's client is set up for.

    The id of a job is that of its task and its own name: ids of PanDA jobs change with each
    attempt, and their order means nothing (panda-server 1.0.4).
    """

    name = "panda"
    poll_interval = 15.0
    submit_seconds = SANDBOX_TIMEOUT  # each call in there has its own limit
    site_reasons = SITE_REASONS
    settle_seconds = 180.0  # until JEDI has registered a task (panda-server 1.0.4)
    brings_files = False

    def __init__(
        self,
        client: Client,
        route: Route,
        registry: TaskRegistry,
        options: Options,
        sandboxes: Sandboxes,
        store: PrivateFiles,
        *,
        monitor: str = "",
        proxy_hours: float = 1.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Start nothing yet.

        Args:
            client: Of the server.
            route: By which tasks get there.
            registry: Remembers which job is in which task.
            options: For task parameters.
            sandboxes: Uploads what jobs need.
            store: Takes the reports and logs of jobs.
            monitor: URL of the web monitor; empty where there is none.
            proxy_hours: For which credentials have to be valid at the start.
            say: Shows a line to the user.
        """
        self.client = client
        self._endpoint = ""
        self._route = route
        self._registry = registry
        self._options = options
        self._monitor = monitor.rstrip("/")
        self._margin = proxy_hours * 3600
        self._sample = JobSample(client, registry)
        self._following = Following(client, self._sample, say)
        self._sites: set[str] = set()
        self._say = once(say)
        self._store = store
        self._sandboxes = sandboxes
        self._submitting = Submitting(client, route, registry, sandboxes, options)
        self._cancelling = Cancelling(
            client, route, registry, self._following, self._sample, self._submission, say
        )

    async def check(self) -> None:
        """Start the client, check the credentials, and make calls without and with them."""
        server = self._endpoint = str((await self.client.facts())["server"])
        found = await asyncio.to_thread(read_credentials, os.environ, time.time())
        warning = judge(found, self._margin, time.time())
        if warning:
            raise PermanentError(warning)
        try:
            await self.client.call("hello")
        except GridError as error:
            raise type(error)(f"{server} (PANDA_URL_SSL): {error}") from error
        await self._route.find([_NO_TASK])

    async def check_credentials(self) -> str:
        """Check them; the client refreshes a token when it is time."""
        return await check_credentials(self.client, self._margin)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Submit one task for all jobs of a shape."""
        for payload in payloads:
            self._tell_unknown(payload.spec)
        payloads = [replace(payload, avoid=self._avoidable(payload)) for payload in payloads]
        answers = await self._submitting.submit(payloads)
        return [
            with_avoided(answer, payload.avoid)
            for answer, payload in zip(answers, payloads, strict=True)
        ]

    def may_bundle(self, payload: Payload) -> bool:
        """Return whether the job does not have to go to its inputs."""
        return not (self._options.rse_sites and payload.spec.grid_elements)

    def _avoidable(self, payload: Payload) -> frozenset[str]:
        """Return the sites to avoid, none if no other site is known to run jobs.

        A user cannot ask PanDA for its sites, and a job that may run nowhere waits without end.
        """
        own = payload.spec.overrides
        if own.get("site", self._options.sites):  # of these one is always left
            return payload.avoid
        if near_inputs(payload.spec, self._options, payload.avoid):
            return payload.avoid
        banned = words(own["banned_sites"]) if "banned_sites" in own else self._options.banned_sites
        return payload.avoid if self._sites - payload.avoid - set(banned) else frozenset()

    def _tell_unknown(self, spec: JobSpec) -> None:
        if "site" not in spec.overrides:
            for rse in sorted(unknown_rses(spec, self._options.rse_sites)):
                self._say(about_unknown(rse))

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Ask for the tasks of the jobs: two calls per task, independent of its size."""
        by_task = _by_task(ids)
        tasks = await self._tasks(by_task)
        wanted = {
            found.number: Wanted(by_task[grid_id], self._registry.attempts(grid_id))
            for grid_id, found in tasks.items()
            if found.number is not None
        }
        known = await self._following.states(wanted)
        self._sample.refresh(self._following.with_jobs(wanted))
        statuses: dict[str, JobStatus] = {}
        for grid_id, found in tasks.items():
            for name in by_task[grid_id]:
                job = f"{grid_id}:{name}"
                if found.number is not None:
                    status = known.get(found.number, {}).get(name)
                    if status is not None:
                        statuses[job] = status
                elif found.problem:
                    statuses[job] = JobStatus(
                        JobState.FAILED, found.problem, infrastructure=found.infrastructure
                    )
                else:
                    statuses[job] = JobStatus(JobState.QUEUED, "waits for its task")
        return statuses

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Find jobs by the names of their tasks, which were noted before the submission."""
        by_task = self._registry.tasks_of(names)
        ids = {task_of_them: self._registry.grid_id(task_of_them) for task_of_them in by_task}
        found = {task_of_them: grid_id for task_of_them, grid_id in ids.items() if grid_id}
        # One call per name; the server does not find a task before it is registered.
        asked = await self._route.find([name for name in by_task if name not in found])
        for task_of_them, grid_id in asked.items():
            self._registry.submitted(task_of_them, grid_id)
        found |= asked
        return {
            name: f"{grid_id}:{name}"
            for task_of_them, grid_id in found.items()
            for name in by_task[task_of_them]
        }

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Kill whole tasks where all their jobs have ended or go, otherwise single jobs."""
        left = await self._cancelling.cancel(_by_task(ids))
        unconfirmed = {f"{grid_id}:{name}" for grid_id, names in left.items() for name in names}
        await self.discard(set(ids) - unconfirmed)
        return unconfirmed

    def works_at(self, site: str) -> None:
        """Learn of a site to which jobs can be sent that avoid others."""
        self._sites.add(site)

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Fetch report and log from the store; without both, write what the server knows."""
        name = _name(grid_id)
        has_report = await fetch_report(self._store, name, folder)
        if not await fetch_log(self._store, name, folder) and not has_report:
            text = await self._account(grid_id)
            await asyncio.to_thread((folder / LOG_FILE).write_text, text)

    async def logs(self, grid_id: str) -> str:
        """Return what the server knows of a job, and its page on the monitor."""
        return await self._account(grid_id)

    async def _account(self, grid_id: str) -> str:
        number = await self._number(grid_id.partition(":")[0])
        lines = [f"--- PanDA on job {grid_id}"]
        if number is None:
            return lines[0] + ": it has no task yet\n"
        if self._monitor:
            lines.append(self._monitor_url(number))
        with contextlib.suppress(GridError):
            details = await self.client.call("details", number)
            lines.append(f"task {number}: {details['status']} {details['errorDialog'] or ''}")
        with contextlib.suppress(GridError):
            for job in await self._described(number, _name(grid_id)):
                site = f" at {job['computingSite']}" if job.get("computingSite") else ""
                words = f"PandaID {job['PandaID']}{site}", str(job["jobStatus"]), explain(job).text
                lines.append(": ".join(filter(None, words)))
        return "\n".join(lines) + "\n"

    async def _described(self, number: int, name: str) -> list[dict[str, Any]]:
        """Describe the last job of a payload; all failed ones if its PandaID is not known.

        The server needs 35 ms for each job (panda-server 1.0.4), and many may fail at a time.
        """
        known = self._sample.of(number).get(name)
        if known:
            jobs = await self.client.call("describe_jobs", [known.number])
        else:
            jobs = await self.client.call("failed_jobs", number, limit=DETAILS_LIMIT)
        return [job for job in jobs if job and job_name(job) == name]

    async def discard(self, ids: Collection[str]) -> None:
        """Remove the private files of tasks that have ended; the server keeps the tasks."""
        for grid_id, names in _by_task(ids).items():
            name = self._registry.name(grid_id)
            self._registry.ended(names)
            if name is not None and not self._registry.jobs_of(name):
                with contextlib.suppress(GridError):
                    number = await self._number(grid_id)
                    if number is not None:
                        self._following.forget(number)
        await self._forget_private()

    async def _forget_private(self) -> None:
        for name in self._registry.over():
            with contextlib.suppress(GridError):  # tried again when more jobs have ended
                await self._sandboxes.forget(name)

    async def _number(self, grid_id: str) -> int | None:
        """Return the number of a task; None if it has none yet."""
        found = await self._submission(grid_id)
        return found.number if found else None

    async def _submission(self, grid_id: str) -> Task | None:
        """Return the outcome of a submission, None if it is unknown."""
        return (await self._tasks([grid_id])).get(grid_id)

    async def _tasks(self, grid_ids: Collection[str]) -> dict[str, Task]:
        tasks = await self._route.tasks(grid_ids)
        for grid_id, found in list(tasks.items()):
            name = self._registry.name(grid_id) if found.problem else None
            # A request fails without its task if PanDA's answer to iDDS was lost.
            if name and (known := await self.client.call("tasks_named", name)):
                tasks[grid_id] = Task(int(known[0]["jediTaskID"]))
        return tasks

    async def forget(self, names: Collection[str]) -> None:
        """Remove the private files of tasks that were never submitted."""
        self._registry.ended(names)
        await self._forget_private()

    @property
    def endpoint(self) -> str:
        """URL of the server."""
        return self._endpoint

    def monitor_hint(self, name: str) -> str:
        """Return the names of the tasks, and the page of the first on the monitor."""
        of_it = self._registry.task_of(name) or ""
        number = self._registry.grid_id(of_it) or ""
        prefix = of_it.rpartition(".")[0]
        monitor_url = (
            f", the first at {self._monitor_url(number)}"
            if self._monitor and number.isdigit()
            else ""
        )
        return f"in tasks named {prefix}.*{monitor_url}"

    def monitor_url(self, grid_id: str) -> str:
        """Return the URL of a job's task."""
        number = grid_id.partition(":")[0]
        return self._monitor_url(number) if self._monitor and number.isdigit() else ""

    def _monitor_url(self, number: int | str) -> str:
        return f"{self._monitor}/task/{number}/"

    def describe(self, payload: Payload) -> str:
        """Return the parameters of a task of one job."""
        name = payload.spec.name
        self._tell_unknown(payload.spec)
        parameters = task(
            shape(payload.spec, self._options, payload.avoid),
            task_name(self._options.user, "run", [name]),
            [name],
            _SANDBOX_LATER,
            _CACHE_LATER,
        )
        return json.dumps(parameters, indent=2)

    async def close(self) -> None:
        """End the client."""
        await asyncio.to_thread(self.client.close)


def _by_task(ids: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for grid_id in ids:
        submission, _, name = grid_id.partition(":")
        found.setdefault(submission, []).append(name)
    return found


def _name(grid_id: str) -> str:
    return grid_id.partition(":")[2]
