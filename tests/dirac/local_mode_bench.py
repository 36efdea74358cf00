"""A backend of DIRAC's local mode whose payloads are shell commands."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, Submitted
from snakemake_executor_plugin_grid.backends.dirac.local_mode import LocalModeBackend
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.model.state import JobStatus
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.backends.dirac.dirac_parser import python
from tests.unit.specs import spec

SECRET = "never to be seen in a log"


class Bench:
    """A backend, and payloads that are shell lines."""

    def __init__(self, top: Path, cores: int = 2, program: Path | None = None) -> None:
        self.top = top
        self.notes = top / "notes"
        self.spool = top / "spool"
        self.worker = top / "worker.pyz"
        for folder in (self.notes, self.spool):
            folder.mkdir(exist_ok=True)
        write_worker(self.worker)
        self.backend = LocalModeBackend(self.spool, python=program or python(), cores=cores)

    def payload(
        self,
        short: str,
        command: str,
        *,
        blobs: tuple[Blob, ...] = (),
        outputs: tuple[str, ...] = (),
        deliver: str = "",
        processors: int = 1,
    ) -> Payload:
        name = f"{short}-{self.top.name}"
        job = Job(
            name=name,
            command=f"cd {self.notes}; {command}" if not outputs else command,
            nesting=(),
            blobs=blobs,
            outputs=tuple(Output(f"work/{output}") for output in outputs),
            runtime=Runtime("inherit"),
            deliver=deliver,
        )
        made = spec(
            name,
            command=command,
            resources=Resources(processors=processors),
            environment={"PASSWORD": SECRET},
        )
        return Payload(made, job.dumps(), blobs, self.worker)

    def spooled(self, name: str, content: bytes) -> Blob:
        """Put a file where the backend looks for blobs without a URL."""
        digest = hashlib.sha256(content).hexdigest()
        (self.spool / digest).write_bytes(content)
        return Blob(digest, len(content), kind="raw", name=f"work/{name}")

    async def submit(self, *payloads: Payload) -> list[str]:
        answers = await self.backend.submit(payloads)
        assert all(isinstance(answer, Submitted) for answer in answers), answers
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    async def wait_for_end(self, ids: list[str], seconds: float = 90) -> list[JobStatus]:
        end = time.monotonic() + seconds
        while True:
            states = await self.backend.states(ids)
            if all(states[grid_id].state.ended for grid_id in ids):
                return [states[grid_id] for grid_id in ids]
            assert time.monotonic() < end, states
            await asyncio.sleep(0.1)

    async def wait_for_note(self, name: str) -> None:
        """Wait until a job has made a note."""
        end = time.monotonic() + 60
        while not (self.notes / name).exists():
            await self.backend.states([])
            assert time.monotonic() < end, f"no {name}"
            await asyncio.sleep(0.1)

    async def results(self, grid_id: str) -> tuple[reports.Report, Path]:
        folder = self.top / f"results-{grid_id}"
        folder.mkdir()
        await self.backend.retrieve(grid_id, folder)
        return load_report(folder / "report.json"), folder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    asyncio.run(made.backend.close())


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await steps()

    asyncio.run(main())


def processes(text: str) -> list[int]:
    """Return the processes whose command line or environment contains a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            process = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if text.encode() in process:
            found.append(int(entry.name))
    return found
