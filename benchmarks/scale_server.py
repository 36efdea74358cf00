"""A grid in simulated time, in the process of the run; for bench_scale.py.

Jobs queue, run and end by a clock that each call for their states moves on. Their reports and
outputs are made by the worker's own code. Two in a hundred jobs fail once because of their site,
and now and then the server does not answer.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metered import work

from snakemake_executor_plugin_grid.backends.base import Backend, Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.dirac.sandboxes import sort_blobs
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.description import (
    DELIVERY_FOLDER,
    LOG_FILE,
    REPORT_FILE,
)

STEP = 60.0
"""Simulated seconds that pass with each call for states."""
LENGTH = 600.0
PER_CALL = 1000
"""Jobs that a call for states may name."""
_FASTER = 60.0
_OUTAGE_EVERY, _OUTAGE_CALLS = 50, 2
_SITES = 20


class SimulatedClock:
    """Runs ahead of the computer's clock, by steps; pauses are shorter than they say."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def step(self, seconds: float) -> None:
        """Move on."""
        self._ahead += seconds

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return time.time() + self._ahead

    def monotonic(self) -> float:
        """Return seconds that only increase."""
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Wait in the event loop."""
        await asyncio.sleep(seconds / _FASTER)

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Wait in a thread until a future is done."""
        wait_for([future], seconds / _FASTER)


class SimulatedBackend(Backend):
    """Takes any number of jobs.

    Attributes:
        spent: Processor seconds in here, which a real grid would spend elsewhere.
        asked: Number of calls for states that a server would have had, in each poll round.
    """

    name = "local"
    poll_interval = 0.002
    brings_files = True
    states_per_round = PER_CALL
    site_reasons = ()

    def __init__(self, clock: SimulatedClock, memory: Path, slots: int) -> None:
        """Start, or go on with what was remembered.

        Args:
            clock: Tells the time.
            memory: File that has what a server remembers, also of a client that was killed.
            slots: Jobs that run at a time.
        """
        self.clock = clock
        self.spent = 0.0
        self.asked: list[int] = []
        self._free = [0.0] * slots
        self._jobs: dict[str, tuple[float, float]] = {}
        self._file = memory.open("a+b")
        self._where: dict[str, tuple[int, int]] = {}
        self._calls = 0
        memory_of = memory.with_suffix(".json")
        self._remembered = memory_of
        if memory_of.exists():
            known = json.loads(memory_of.read_text())
            self._jobs = {name: (one[0], one[1]) for name, one in known["jobs"].items()}
            self._where = {name: (one[0], one[1]) for name, one in known["where"].items()}
            clock.step(known["time"] - clock.time())

    def remember(self) -> None:
        """Write what the server knows, as the process is about to be killed."""
        self._file.flush()
        known = {"jobs": self._jobs, "where": self._where, "time": self.clock.time()}
        self._remembered.write_text(json.dumps(known))

    async def check(self) -> None:
        """Do nothing: the server is here."""

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Give each job the next free slot."""
        began = time.thread_time()
        now = self.clock.time()
        for payload in payloads:
            name = payload.spec.name
            start = max(now + STEP, heapq.heappop(self._free))
            end = start + LENGTH * (0.5 + _number(name, 1000) / 1000)
            heapq.heappush(self._free, end)
            text = payload.description.encode()
            self._where[name] = (self._file.seek(0, 2), len(text))
            self._file.write(text)
            self._jobs[name] = (start, end)
        self.spent += time.thread_time() - began
        return [Submitted(payload.spec.name, payload.avoid) for payload in payloads]

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Move the clock on, and tell where jobs are by then."""
        began = time.thread_time()
        self._calls += 1
        self.clock.step(STEP)
        if self._calls % _OUTAGE_EVERY < _OUTAGE_CALLS and self._calls > _OUTAGE_CALLS:
            raise TransientError("the simulated server does not answer")
        self.asked.append(-(-len(ids) // PER_CALL))
        now = self.clock.time()
        found = {name: self._status(name, now) for name in ids if name in self._jobs}
        self.spent += time.thread_time() - began
        return found

    def _status(self, name: str, now: float) -> JobStatus:
        start, end = self._jobs[name]
        if now < start:
            return _QUEUED
        site = _number(name, _SITES)
        if now < end:
            return _RUNNING[site]
        return _FAILED[site] if _fails(name) else _DONE[site]

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids, which are the names."""
        return {name: name for name in names if name in self._jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Confirm it."""
        return set()

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Do a job's work, unless its site has failed it."""
        await asyncio.to_thread(self._work, grid_id, folder)

    def _work(self, grid_id: str, folder: Path) -> None:
        began = time.thread_time()
        if not _fails(grid_id):
            place, size = self._where[grid_id]
            self._file.flush()
            with Path(self._file.name).open("rb") as stream:
                stream.seek(place)
                description = stream.read(size)
            with TemporaryDirectory(dir=self._remembered.parent) as scratch:
                worker = Path(scratch)
                (worker / "job.json").write_bytes(description)
                work(worker)
                sort_blobs(worker, [path.name for path in worker.iterdir()])
                for name in (REPORT_FILE, LOG_FILE, DELIVERY_FOLDER):
                    if (worker / name).exists():
                        (worker / name).rename(folder / name)
        self.spent += time.thread_time() - began

    async def logs(self, grid_id: str) -> str:
        """Return nothing."""
        return ""

    async def discard(self, ids: Collection[str]) -> None:
        """Forget jobs."""
        for name in ids:
            self._jobs.pop(name, None)
            self._where.pop(name, None)

    def describe(self, payload: Payload) -> str:
        """Return the description."""
        return payload.description

    async def close(self) -> None:
        """Close the file."""
        self._file.close()


def _number(name: str, below: int) -> int:
    return zlib.crc32(name.encode()) % below


def _fails(name: str) -> bool:
    """Return whether the site of a job fails: two of a hundred, and none that is sent again."""
    return "." not in name and _number(name, 50) == 0


_QUEUED = JobStatus(JobState.QUEUED)
_NAMES = [f"Site{number:02}" for number in range(_SITES)]
_RUNNING = [JobStatus(JobState.RUNNING, "", site) for site in _NAMES]
_DONE = [JobStatus(JobState.DONE, "", site) for site in _NAMES]
_FAILED = [
    JobStatus(JobState.FAILED, "the pilot was lost", site, infrastructure=True) for site in _NAMES
]
