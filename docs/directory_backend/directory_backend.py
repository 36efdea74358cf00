"""A backend whose queue is a directory: one folder per job; threads are its workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from snakemake_executor_plugin_grid.backends import packaging
from snakemake_executor_plugin_grid.backends.base import SITE_REASONS, Backend, Payload, Submitted
from snakemake_executor_plugin_grid.backends.kind import BackendKind, BackendSetup, Workspace
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.stores import Stores

# The link is the claim on a job, and names its process: of two workers only one can make it.
START = """
ln -s $$ claim 2>/dev/null && [ ! -e cancelled ] || exit
PATH="${0%/*}:$PATH" SITE_NAME=directory exec "$0" worker.pyz . >worker.log 2>&1
"""
COMMAND = ["sh", "-c", START, sys.executable]
ENDED = {"cancelled": JobState.CANCELLED, "report.json": JobState.DONE, "claim": JobState.FAILED}
"""States of jobs without a process, by the first file that exists."""


class DirectoryBackend(Backend):
    """Jobs are folders below a directory; their names there are their ids."""

    name = "directory"
    poll_interval = 0.5
    site_reasons = SITE_REASONS

    def __init__(self, queue: Path) -> None:
        self._queue = queue
        self._closed = threading.Event()
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(4)]

    async def check(self) -> None:
        """Make the directory, and start the workers."""
        self._queue.mkdir(parents=True, exist_ok=True)
        for worker in self._workers:
            if not worker.is_alive():
                worker.start()

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted]:
        """Write a folder for each job; one that exists is left alone."""
        await asyncio.to_thread(self._write, payloads)
        return [Submitted(payload.spec.name) for payload in payloads]

    def _write(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            folder = self._folder(payload.spec.name)
            if not folder.exists():
                part = folder.with_name(f".{folder.name}")
                packaging.write_job(payload, part)
                shutil.copyfile(payload.worker, part / packaging.WORKER_FILE)
                part.rename(folder)  # it is complete when it appears

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Look into each folder; jobs without one are left out."""
        return {name: _status(self._folder(name)) for name in await self.find(ids)}

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the jobs that have a folder."""
        return {name: name for name in names if self._folder(name).exists()}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """End the processes of jobs; a job with this mark does not start."""
        jobs = {name: self._folder(name) for name in await self.find(ids)}
        for folder in jobs.values():
            (folder / "cancelled").touch()
            if process := _process(folder):
                await asyncio.to_thread(subprocess.call, ["kill", str(process)])
        for _ in range(150):
            if any(map(_process, jobs.values())):
                await asyncio.sleep(0.1)
        return {name for name, folder in jobs.items() if _process(folder)}

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Copy the report and the log; the outputs are in the store."""
        await asyncio.to_thread(packaging.copy_results, self._folder(grid_id), folder)

    async def logs(self, grid_id: str) -> str:
        """Return the output of the worker and of the job."""
        return packaging.read_logs(self._folder(grid_id))

    async def discard(self, ids: Collection[str]) -> None:
        """Remove the folders."""
        for name in ids:
            shutil.rmtree(self._folder(name), ignore_errors=True)

    def describe(self, payload: Payload) -> str:
        """Return what the worker reads."""
        return payload.description

    async def close(self) -> None:
        """Start no more jobs; those that run go on."""
        self._closed.set()

    def _folder(self, name: str) -> Path:
        if not self._queue.is_dir():
            raise TransientError(f"{self._queue} is missing")
        return self._queue / name

    def _work(self) -> None:
        """Run jobs, one after the other."""
        while not self._closed.wait(0.2):
            for job in self._queue.glob("[!.]*/job.json"):
                if not self._closed.is_set() and not (job.parent / "claim").is_symlink():
                    with contextlib.suppress(OSError):  # the job was discarded
                        subprocess.run(COMMAND, cwd=job.parent, start_new_session=True, check=False)


def _process(folder: Path) -> int:
    """Return the process of a job, 0 if there is none."""
    with contextlib.suppress(OSError):
        process = (folder / "claim").readlink()
        if (Path("/proc") / process / "cwd").samefile(folder):  # the number may be another's by now
            return int(process.name)
    return 0


def _status(folder: Path) -> JobStatus:
    ended = (state for leaf, state in ENDED.items() if os.path.lexists(folder / leaf))
    state = JobState.RUNNING if _process(folder) else next(ended, JobState.QUEUED)
    return JobStatus(state, infrastructure=state is JobState.FAILED)


class DirectoryKind(BackendKind):
    """Jobs in the directory that ``GRID_QUEUE`` names, which the user's own machine runs."""

    name = "directory"

    def make(self, settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
        """Make the backend; without ``--grid-store`` files travel through the directory as well."""
        queue = Path(os.environ.get("GRID_QUEUE", "~/grid-queue")).expanduser()
        backend = DirectoryBackend(queue)
        outages = workspace.outages_of(settings, backend)
        store = workspace.open_store(settings, outages, queue / ".store")
        return BackendSetup(backend, Stores(store, store), outages)


KIND = DirectoryKind()
