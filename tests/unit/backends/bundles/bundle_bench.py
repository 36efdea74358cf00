"""A system of which a test decides what becomes of its jobs, with bundles on top of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.backends.base import Backend, Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.bundles.backend import BundlingBackend
from snakemake_executor_plugin_grid.backends.bundles.packing import Policy
from snakemake_executor_plugin_grid.backends.bundles.registry import BundleRegistry
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.delivery import Delivery
from snakemake_executor_plugin_grid.worker.description import Job
from snakemake_executor_plugin_grid.worker.report import SUCCESS, Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.specs import spec


class System(Backend):
    """The system.

    Attributes:
        payloads: What was submitted, by name.
        ids: Of jobs, by name.
        statuses: By id; those that are not there are queued.
        results: Folders to retrieve, by id.
        calls: Each call with its sorted arguments.
        loses: Whether the answer to the next submission is lost.
        arrives: Whether the system has its jobs all the same.
        stuck: Ids that cannot be cancelled.
    """

    name = "system"
    poll_interval = 1.0

    def __init__(self) -> None:
        self.payloads: dict[str, Payload] = {}
        self.ids: dict[str, str] = {}
        self.statuses: dict[str, JobStatus] = {}
        self.results: dict[str, Path] = {}
        self.calls: list[tuple[str, list[str]]] = []
        self.loses, self.arrives = False, True
        self.stuck: set[str] = set()

    async def check(self) -> None: ...

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        self.calls.append(("submit", [one.spec.name for one in payloads]))
        answers: list[Submitted | Rejected] = []
        lost, self.loses = self.loses, False
        if lost and not self.arrives:
            raise TransientError("no answer")
        for payload in payloads:
            name = payload.spec.name
            assert name not in self.payloads
            self.payloads[name] = payload
            self.ids[name] = str(len(self.ids) + 1)
            answers.append(Submitted(self.ids[name], payload.avoid))
        if lost:
            raise TransientError("no answer")
        return answers

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        self.calls.append(("states", sorted(ids)))
        queued = JobStatus(JobState.QUEUED)
        return {one: self.statuses.get(one, queued) for one in ids if one in self.ids.values()}

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        return {name: self.ids[name] for name in names if name in self.ids}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        self.calls.append(("cancel", sorted(ids)))
        return set(ids) & self.stuck

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        self.calls.append(("retrieve", [grid_id]))
        if grid_id in self.results:
            shutil.copytree(self.results[grid_id], folder, dirs_exist_ok=True)

    async def logs(self, grid_id: str) -> str:
        return f"what the system knows of {grid_id}\n"

    async def discard(self, ids: Collection[str]) -> None:
        self.calls.append(("discard", sorted(ids)))

    async def forget(self, names: Collection[str]) -> None:
        self.calls.append(("forget", sorted(names)))

    def describe(self, payload: Payload) -> str:
        return payload.spec.name

    async def close(self) -> None: ...

    def called(self, name: str) -> list[list[str]]:
        return [subjects for call, subjects in self.calls if call == name]


class Bench:
    """Bundles on that system.

    Attributes:
        backend: Packs jobs.
        said: Lines for the user.
        seconds: How long jobs usually take, by rule.
        delivered: Digests of outputs in the results of bundles, by job.
    """

    def __init__(self, folder: Path, *, in_sandbox: bool = False, **policy: Any) -> None:
        self.folder = folder
        self.system = System()
        self.database = Database(folder / "grid.sqlite")
        self.said: list[str] = []
        self.seconds: dict[str, float] = {}
        self.delivered: dict[str, str] = {}
        self._in_sandbox = in_sandbox
        self._policy = Policy(**{"size": "3", **policy})
        self.store = DirectoryStore(folder / "store")
        self.store.check()
        self.backend = self.again()

    def again(self) -> BundlingBackend:
        """Return the backend as a later run has it."""
        spool = SpoolStore(self.folder / "spool", lambda: 1 << 20, "")
        stores = Stores(spool, spool if self._in_sandbox else self.store)
        return BundlingBackend(
            *(self.system, stores, BundleRegistry(self.database), self._policy),
            *(self._durations, self.folder / "bundles", self.said.append),
        )

    def _durations(self, rules: Iterable[str]) -> Mapping[str, float]:
        return {rule: self.seconds[rule] for rule in rules if rule in self.seconds}

    def report(self, job: str, reason: str = SUCCESS) -> None:
        """Let a job send its report to the store."""
        inbox = self.store.folder / "delivered" / job
        inbox.mkdir(parents=True)
        (inbox / "payload.log").write_text(f"log of {job}\n")
        made = Report.start(job)
        made.reason = reason
        made.write(inbox / "report.json")

    def results(self, bundle_id: str, bundle: str, *jobs: str, reason: str = SUCCESS) -> None:
        """Let the results of some jobs of a bundle come with those of the bundle."""
        folder = self.folder / f"results-{bundle_id}"
        (folder / "out").mkdir(parents=True)
        report, items = Report.start(bundle), []
        for job in jobs:
            own = self.folder / f"of-{job}"
            own.mkdir()
            made = Report.start(job)
            made.reason = SUCCESS
            (own / "out.txt").write_text(f"output of {job}")
            outputs = [(one, "output") for one in scan(own / "out.txt", "work/out.txt")]
            Delivery(folder / "out").write(plain(job), outputs, made)
            self.delivered[job] = next(iter(made.blobs))
            made.write(own / "report.json")
            (own / "payload.log").write_text(f"log of {job}\n")
            for leaf in ("report.json", "payload.log"):
                items += [(one, "output") for one in scan(own / leaf, f"work/{job}/{leaf}")]
        Delivery(folder / "out").write(plain(bundle), items, report)
        report.reason = reason
        report.write(folder / "report.json")
        self.system.results[bundle_id] = folder


def plain(name: str) -> Job:
    """Return a job that does nothing."""
    return Job(name, "true", (), (), (), Runtime("inherit"))


def payloads(*names: str, rule: str = "a", **fields: Any) -> list[Payload]:
    """Return payloads of jobs."""
    return [
        Payload(
            spec(name, rule=rule, **fields),
            plain(name).dumps(),
            (),
            Path("worker.pyz"),
        )
        for name in names
    ]


def names(count: int) -> list[str]:
    """Return names of jobs."""
    return [f"a-0123abcd-{n}" for n in range(1, count + 1)]


def members(payload: Payload) -> list[str]:
    """Return the names of the jobs in a payload."""
    return [one["name"] for one in json.loads(payload.description)["members"]]
