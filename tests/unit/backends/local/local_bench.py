"""A local backend with its site, and payloads that are shell lines."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.backends.base import Payload, Submitted
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.conftest import processes_below

MEET = "touch here-{n}; for i in $(seq 100); do [ -e here-{m} ] && exit 0; sleep 0.1; done; exit 1"
"""Two processes see each other, or give up."""
UNTIL_GO = "while [ ! -e go ]; do sleep 0.1; done"


class Bench:
    """A backend whose jobs note what they do in a folder outside of their sandboxes."""

    def __init__(self, top: Path, **options: Any) -> None:
        self.top = top
        self.notes = top / "notes"
        self.notes.mkdir(exist_ok=True)
        options = {"local_cold": True, "local_isolation": "off", "local_cores": 4} | options
        self.settings = ExecutorSettings(local_dir=top / "local", **options)
        self.workdir = top / "project"
        self.workdir.mkdir(exist_ok=True)
        self.worker = top / "worker.pyz"
        write_worker(self.worker)
        self.backend = LocalBackend(self.settings, self.workdir)

    def name(self, short: str) -> str:
        """Return a job's name that is unique among all benches: processes are killed by it."""
        # The last part of the folder is not: pytest shortens it, and others may test as well.
        return f"{short}-{hashlib.sha256(os.fsencode(self.top)).hexdigest()[:12]}"

    def payload(self, short: str, command: str, **resources: Any) -> Payload:
        name = self.name(short)
        spec = JobSpec(
            name=name,
            rule="r",
            wildcards=(),
            jobid="1",
            attempt=1,
            command=f"cd {self.notes}; {command}",
            inputs=(),
            shared=frozenset(),
            consumed=frozenset(),
            outputs=(),
            placeholders=(),
            resources=Resources(**resources),
            environment={"SECRET": "s3cret"},
            overrides={},
        )
        job = Job(
            name=name,
            command=spec.command,
            nesting=(),
            blobs=(),
            outputs=(),
            runtime=Runtime("inherit"),
            time_limit=spec.resources.runtime_s,
        )
        return Payload(spec, job.dumps(), (), self.worker)

    async def submit(self, *payloads: Payload) -> list[str]:
        answers = await self.backend.submit(payloads)
        assert all(isinstance(answer, Submitted) for answer in answers), answers
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    async def until(
        self, ids: list[str], condition: Callable[[JobState], bool], seconds: float = 30
    ) -> list[JobStatus]:
        """Poll until all jobs are in a state; return their statuses."""
        end = time.monotonic() + seconds
        while True:
            states = await self.backend.states(ids)
            if len(states) == len(ids) and all(condition(s.state) for s in states.values()):
                return [states[grid_id] for grid_id in ids]
            assert time.monotonic() < end, (states, self.site_log())
            await asyncio.sleep(0.05)

    async def ended(self, ids: list[str], seconds: float = 30) -> list[JobStatus]:
        return await self.until(ids, lambda state: state.ended, seconds)

    async def noted(self, *names: str) -> None:
        """Wait until jobs have made notes."""
        await eventually(lambda: all((self.notes / name).exists() for name in names))

    async def report(self, grid_id: str) -> reports.Report:
        folder = self.top / f"result-{grid_id}"
        folder.mkdir()
        await self.backend.retrieve(grid_id, folder)
        return load_report(folder / "report.json")

    def site_log(self) -> str:
        log = self.backend.folder / "site.log"
        return log.read_text() if log.exists() else ""

    def seen(self) -> list[str]:
        file = self.notes / "seen"
        return file.read_text().split() if file.exists() else []

    def processes(self, sign: str = "") -> list[int]:
        """Return the processes of the site and its jobs whose command line has a sign in it."""
        return processes_below(self.top, sign, by_environment=True)

    def kill_site(self, number: int = signal.SIGKILL) -> None:
        (pid,) = self.site_pids()
        os.kill(pid, number)

    def warm(self) -> list[int]:
        """Return the warm process with Snakemake: its workers look the same but are leaders."""
        return [
            pid
            for pid in self.processes(".warm as warm")
            if parent_of(pid) in self.site_pids()
            and Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0snakemake\0")
        ]

    def site_pids(self) -> list[int]:
        return self.processes("backends.local.server")

    def sandbox(self, short: str) -> Path:
        return self.backend.folder / "jobs" / self.name(short)

    def worker_of(self, short: str) -> int:
        return int((self.sandbox(short) / "started").read_text())


MakeBench = Callable[..., Bench]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.02)
