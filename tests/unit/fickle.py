"""A backend that misbehaves as real ones do, and a controller for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import (
    Backend,
    Capacity,
    Payload,
    Rejected,
    Submitted,
)
from snakemake_executor_plugin_grid.console.job_log import JobLog
from snakemake_executor_plugin_grid.engine.context import RunContext
from snakemake_executor_plugin_grid.engine.controller import Controller
from snakemake_executor_plugin_grid.engine.outcomes import Outcomes
from snakemake_executor_plugin_grid.engine.outputs import Outputs
from snakemake_executor_plugin_grid.engine.payloads import Payloads
from snakemake_executor_plugin_grid.grid_data.files import GridFiles
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.write_queue import Write
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import DiskFullError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import Outcome, Plan
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.staging.upload import Upload
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Output
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.clock import ManualClock
from tests.unit.interference import Times
from tests.unit.specs import spec, tracked

IDENTITY = "the same"
"""Of jobs whose test does not care."""
PATIENT = pytest.mark.parametrize("bench", [{"outage_limit": 1e6}], indirect=True)
"""For tests in which the run waits for a server or a disk."""
_STEP = 0.5
_MANY = 20000
_FEW = 100


class Fickle(Backend):
    """Takes jobs and does what the test says with them."""

    name = "fickle"
    poll_interval = 0.01
    capacity: Capacity | None = None

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.payloads: list[Payload] = []
        self.runs: Counter[str] = Counter()
        self.takes: Callable[[str], bool] = lambda name: True
        self.answer: Callable[[], None] = lambda: None
        self.credentials: Callable[[], None] = lambda: None
        self.finds: Callable[[], None] = lambda: None
        self.checks: Callable[[], None] = lambda: None
        self.fetches: Callable[[], None] = lambda: None
        self.asks: Callable[[], None] = lambda: None
        self.asked = 0
        self.fetched = ""
        self.statuses: dict[str, JobStatus] = {}
        self.good: set[str] = set()
        self.cancelled: list[str] = []
        self.unconfirmed: set[str] = set()
        self.discarded: list[Collection[str]] = []
        self.known_sites: list[str] = []
        self.forgotten: list[str] = []
        self.idle: list[str] = []
        """The calls that were made for no job: a server must not be asked for nothing."""

    def _for(self, call: str, names: Collection[object]) -> None:
        if not names:
            self.idle.append(call)

    async def check(self) -> None:
        self.checks()

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        self._for("submit", payloads)
        self.payloads += payloads
        for payload in payloads:
            name = payload.spec.name
            if self.takes(name):
                self.runs[name] += 1
                self.jobs.setdefault(name, f"id-{len(self.jobs)}")
        self.answer()
        return [Submitted(self.jobs[payload.spec.name], payload.avoid) for payload in payloads]

    async def check_credentials(self) -> str:
        self.credentials()
        return ""

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        self.asked += 1
        self.asks()
        return self.statuses

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        self._for("find", names)
        self.finds()
        return {name: self.jobs[name] for name in names if name in self.jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        self._for("cancel", ids)
        self.cancelled += ids
        return self.unconfirmed

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        self.fetched = grid_id
        self.fetches()
        (folder / "payload.log").write_text("it said this\n")
        (name,) = [name for name, known in self.jobs.items() if known == grid_id]
        if grid_id in self.good:
            site = self.statuses[grid_id].site if grid_id in self.statuses else ""
            Report(name, reason=reports.SUCCESS, site=site).write(folder / "report.json")

    def works_at(self, site: str) -> None:
        self.known_sites.append(site)

    async def logs(self, grid_id: str) -> str:
        return ""

    async def discard(self, ids: Collection[str]) -> None:
        self._for("discard", ids)
        self.discarded.append(ids)

    async def forget(self, names: Collection[str]) -> None:
        self._for("forget", names)
        self.forgotten += names

    def blames_site(self, status: JobStatus, reason: str) -> bool:
        return not reason and status.infrastructure

    def describe(self, payload: Payload) -> str:
        return payload.description

    async def close(self) -> None:
        pass


class _Outputs(Outputs):
    """Unlike its frozen class, it has methods that a test can replace."""


class Bench:
    """A controller with all that it uses, and all that it says.

    Attributes:
        outputs: Puts outputs into place; tests may replace its methods.
        journal: Of the run; tests may replace its methods.
    """

    def __init__(
        self,
        folder: Path,
        lost_limit: float = 1e6,
        outage_limit: float = 0.0,
        avoid_limit: float = 1e6,
        retries: int = 3,
        longest_pause: float = 0.0,
    ) -> None:
        self.said: list[str] = []
        self._passed: list[Outcome] = []
        self.backend = Fickle()
        self.clock = clock = ManualClock()
        layout = Layout(folder / "work")
        layout.workdir.mkdir()
        self.store = store = DirectoryStore(folder / "store")
        store.check()
        stores = Stores(store, store)
        self.database = Database(folder / "grid.sqlite")
        self.journal, catalog = Journal(self.database, "run", "fickle"), Catalog(self.database)
        self.pool = ThreadPoolExecutor(2)
        self.folder = layout.workdir / ".snakemake" / "grid"
        say = self.said.append
        upload = Upload(layout, store, catalog, self.pool, large_file=1 << 20, compression="none")
        self.outputs = _Outputs(
            store, catalog, layout, self.folder, "none", lambda *_: None, say, GridFiles(layout)
        )
        self.outcomes = Outcomes(self.backend, self.journal, self.outputs.grid_files)
        check = self.backend.check_credentials
        outages = Outages("fickle", outage_limit, check, say, clock)
        self.controller = Controller(
            RunContext(self.backend, stores, self.journal, outages, clock, say),
            upload,
            Payloads(
                backend=self.backend,
                stores=stores,
                layout=layout,
                upload=upload,
                worker=folder / "worker.pyz",
                keep_incomplete=False,
                large_file=1 << 20,
                compression="none",
                outputs_now=self.outputs.grid_files.outputs_now,
            ),
            self.outputs,
            lost_limit=lost_limit,
            avoid_limit=avoid_limit,
            retries=retries,
            longest_pause=longest_pause,
        )
        # They are told of every job, and would hide what a test looks for.
        self.controller._job_log = JobLog(lambda _: None)

    def submit(self, *names: str, identity: str = IDENTITY, **fields: Any) -> None:
        """Hand over jobs; ``fields`` are those of their specs."""
        self.controller.submit(
            [Plan(spec(name, **fields), Runtime("inherit"), identity=identity) for name in names]
        )

    def earlier(
        self,
        name: str,
        *,
        grid_id: str = "",
        state: JobState | None = JobState.QUEUED,
        phase: Phase = Phase.SUBMITTED,
        identity: str = IDENTITY,
        origin: str = "",
        **fields: Any,
    ) -> None:
        """Have a job that an earlier run has left.

        Args:
            name: Its name.
            grid_id: Its id on the grid.
            state: Of it there; None if the backend has no such job.
            phase: How far it had come.
            identity: Of it.
            origin: Name under which it was submitted first.
            fields: Of its spec.
        """
        journal = Journal(self.database, "earlier", "fickle")
        journal.submitting([tracked(spec(name, **fields), identity, origin)])
        grid_id = grid_id or f"id-{name}"
        if phase is not Phase.SUBMITTING:
            journal.submitted({name: grid_id})
        if phase is Phase.CANCELLING:
            journal.cancelling([name])
        elif phase is not Phase.SUBMITTING and phase is not Phase.SUBMITTED:
            journal.ended(name, phase)
        if state is not None:
            self.backend.jobs[name] = grid_id
            self.backend.statuses[grid_id] = JobStatus(state)
            if state is JobState.DONE:
                self.backend.good.add(grid_id)

    def look(self) -> None:
        """Start as a run does: look for jobs of earlier runs."""
        self.controller.call(self.controller.check())

    def settle(self, *needed: str, incomplete: bool = False) -> None:
        """Say which outputs are needed, and whether Snakemake considers the others incomplete."""
        self.controller.call(self.controller.recovery.tell_unreached())
        self.controller.call(self.controller.recovery.settle(needed, lambda _: incomplete))

    def left(self) -> dict[str, str]:
        """Return what the next run would find, with the phase of each."""
        later = Journal(self.database, "later", "fickle")
        return {job.name: job.phase.value for job in later.open_jobs()}

    def ended(self, count: int) -> list[Outcome]:
        """Poll until so many jobs have ended."""
        found, self._passed = self._passed, []
        for _ in range(_MANY):
            if len(found) >= count:
                return found
            found += self._poll()
        raise AssertionError((found, self.said))

    def polls(self, seconds: float = 3 * _STEP) -> list[Outcome]:
        """Poll for some time; return what has ended."""
        end = self.clock.monotonic() + seconds
        found: list[Outcome] = []
        while self.clock.monotonic() < end:
            found += self._poll()
        return found

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Poll until something is so; ``ended`` returns the jobs that end meanwhile."""
        for _ in range(_MANY):
            if done():
                return
            self._passed += self._poll()
        raise AssertionError(self.said)

    def _poll(self) -> list[Outcome]:
        found = self.controller.call(self.controller.poll())
        self._settle()  # time must not pass for a thread that writes to a slow disk
        self._flush()
        self.clock.advance(_STEP)
        return found

    def _settle(self) -> None:
        """Let background tasks go on until each of them has ended or sleeps."""
        for _ in range(_FEW):
            watch = 1
            if len(self.controller._events._tasks) <= self.clock.sleepers - watch:
                return
            self._flush()

    def _flush(self) -> None:
        """Let the threads of the event loop do something."""
        self.controller.call(asyncio.to_thread(lambda: None))

    def goes_on(self, count: int = 1) -> None:
        """Wait until so many jobs are on the grid, and asked for."""
        self.wait_for(lambda: len(self.controller.on_the_grid) == count)
        self.polls()

    def fault(self, *names: str, site: str = "") -> None:
        """Let the infrastructure fail jobs, when they are there."""
        self.wait_for(lambda: all(name in self.backend.jobs for name in names))
        self.backend.statuses |= {
            self.backend.jobs[name]: JobStatus(JobState.FAILED, "pilot lost", site, True)
            for name in names
        }

    def succeed(self, *names: str, site: str = "") -> None:
        self.wait_for(lambda: all(name in self.backend.jobs for name in names))
        for name in names:
            grid_id = self.backend.jobs[name]
            self.backend.good.add(grid_id)
            self.backend.statuses[grid_id] = JobStatus(JobState.DONE, "", site)

    def acknowledge(self, *names: str) -> None:
        """Say that Snakemake has noted successes, and wait until that has had its effect."""
        self.controller.acknowledge(names)
        self.wait_for(lambda: not self.controller._completion._succeeded.keys() & set(names))
        self.wait_for(lambda: not self.controller._events._tasks)

    def discarded(self) -> list[str]:
        """Return the ids of which the backend has been told that nothing more is wanted."""
        self.polls()
        return sorted(grid_id for ids in self.backend.discarded for grid_id in ids)

    def fill_disk(self, monkeypatch: pytest.MonkeyPatch, write: str) -> None:
        """Let the disk be full for the first three times that the journal writes something."""
        journal = self.journal
        works, full = getattr(journal, write), Times(DiskFullError("grid.sqlite: disk is full"), 3)

        def writes(*args: object) -> Write:
            try:
                full()
            except DiskFullError as error:
                failed = Write()
                failed.end(error)
                return failed
            return works(*args)  # type: ignore[no-any-return]

        monkeypatch.setattr(journal, write, writes)

    def phases(self) -> dict[str, str]:
        return dict(self.database.query("SELECT name, phase FROM jobs"))


def outputs(*names: str) -> tuple[Output, ...]:
    """Return outputs that a rule names, as paths."""
    return tuple(Output(f"work/{name}", required=False) for name in names)
