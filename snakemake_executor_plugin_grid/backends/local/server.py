"""The local site: a queue, slots, and workers, in a process that outlives the controller.

It listens on a socket in its folder for lines of JSON and keeps its jobs in a SQLite file, so
that a site that starts in the same folder goes on where the last one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...model.untrusted import UntrustedError, read_untrusted
from ...worker.description import JOB_FILE, REPORT_FILE, STARTED_FILE
from ...worker.processes import kill_marked
from . import config as names
from .config import Config, socket_address
from .jobs import Job, JobTable
from .starter import Starter
from .warm_process import process_id
from .watch import is_alive, process_start, wait_for_exit

log = logging.getLogger("snakemake-grid-site")

_IDLE = 60.0
_ENDING = 5.0
_KILL_AFTER = 8.0


class LocalServer:
    """Runs jobs until there are none and no client asks any more."""

    def __init__(self, folder: Path, config: Config) -> None:
        """Continue with the jobs of the folder.

        Args:
            folder: Of the site.
            config: Its settings.
        """
        self.folder = folder
        self.config = config
        self.table = JobTable(folder / names.DATABASE_FILE)
        self.queue: deque[Job] = deque()
        self.free_cores = config.cores
        self.free_mem_mb = config.mem_mb
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = time.monotonic()
        self._stop = asyncio.Event()
        self._starter = Starter(folder, config)

    async def serve(self) -> None:
        """Serve until idle or told to stop."""
        address = socket_address(self.folder)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)  # noqa: PTH108
        server = await asyncio.start_unix_server(self._connection, address, limit=1 << 26)
        for job in self.table.active():
            self._take_up(job)
        self._spawn(self._starter.warm_up())
        async with server:
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 1)
                if self._idle() or not self.folder.exists():
                    break
        await self._starter.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)  # noqa: PTH108
        if self._stop.is_set() and self.table.busy():
            log.info("handed over")
            os._exit(0)  # the workers go on: asyncio would kill those that are its children

    def _idle(self) -> bool:
        return not self.table.busy() and time.monotonic() - self._heard > _IDLE

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._heard = time.monotonic()
                try:
                    reply = await self._answer(json.loads(line))
                except Exception as error:
                    log.exception("request")
                    reply = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            log.warning("request: %s", error)
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> Any:
        match request["call"]:
            case "hello":
                return {
                    "config": self.config.digest,
                    "busy": self.table.busy(),
                    "version": names.CODE_VERSION,
                }
            case "submit":
                return [self._submit(**job) for job in request["jobs"]]
            case "states":
                return self.table.changes(request["since"])
            case "find":
                return self.table.find(request["names"])
            case "cancel":
                return await self._cancel(request["ids"], request["timeout"])
            case "discard":
                self.table.remove(request["ids"])
                return True
            case "stop":
                if self.table.busy() and not request.get("hand_over"):
                    return "busy"
                self._stop.set()
                # Results of jobs that have ended may not be fetched yet.
                return "empty" if self.table.empty() else "stopped"
            case call:
                return {"error": f"no such call: {call}"}

    def _submit(self, name: str, cores: int, mem_mb: int, limit: float | None) -> int | str:
        """Queue a job; return its id, or why it cannot be taken."""
        known = self.table.find([name]).get(name)
        if known is not None:
            return known
        # A job that asks for more than the machine has runs alone.
        try:
            job = self.table.add(
                name, min(cores, self.config.cores), min(mem_mb, self.config.mem_mb), limit
            )
        except sqlite3.Error as error:
            return f"{self.folder / names.DATABASE_FILE}: {error}"
        self.queue.append(job)
        self._dispatch()
        return job.number

    def _take_up(self, job: Job) -> None:
        if job.state == "queued":
            self.queue.append(job)
            asyncio.get_running_loop().call_soon(self._dispatch)
            return
        if not job.pid and not self._started_pid(job):
            # The previous site died while it started this job. If that worker appears later, the
            # second of the two workers notices the first, and exits.
            job.started = 0.0
            self.table.update(job, "queued")
            self._take_up(job)
            return
        self._occupy(job)
        self._spawn(self._watch(job))

    def _dispatch(self) -> None:
        """Start jobs in the order of submission while there are free slots."""
        while self.queue:
            job = self.queue[0]
            if job.cores > self.free_cores or job.mem_mb > self.free_mem_mb:
                return
            self.queue.popleft()
            self._occupy(job)
            self.table.update(job, "running")
            self._spawn(self._run(job))

    def _occupy(self, job: Job) -> None:
        self.free_cores -= job.cores
        self.free_mem_mb -= job.mem_mb

    async def _run(self, job: Job) -> None:
        folder = self._sandbox(job)
        try:
            pid = await self._starter.start(folder)
        except Exception as error:
            log.exception("job %s", job.name)
            self._finish(job, "failed", f"the worker could not be started: {error}")
            return
        job.pid, job.pid_start = pid, process_start(pid)
        self.table.update(job, "running")
        if job.cancelled:
            self._terminate(job)
        await self._watch(job)

    async def _watch(self, job: Job) -> None:
        """Wait for the end of a job's worker, and note the outcome."""
        detail = await self._wait_for_end(job)
        first = self._started_pid(job)
        if first not in (0, job.pid):
            # This worker found one that was started before and is not known here.
            job.pid, job.pid_start = first, process_start(first)
            self.table.update(job, "running")
            detail = await self._wait_for_end(job)
        if (self._sandbox(job) / REPORT_FILE).exists():
            self._finish(job, "cancelled" if job.cancelled else "done", "")
            return
        self._kill_payloads(job)
        if job.cancelled:
            self._finish(job, "cancelled", "")
        else:
            self._finish(job, "failed", detail)

    async def _wait_for_end(self, job: Job) -> str:
        """Wait for the end of a worker, or end it at its limit; return the reason."""
        begun = self._sandbox(job) / STARTED_FILE
        if job.pid and is_alive(job.pid, job.pid_start):
            if not await wait_for_exit(job.pid, self._start_deadline(job)) and not begun.exists():
                self._kill(job)
                await wait_for_exit(job.pid, None)
                return f"the worker did not start within {self.config.start_limit:g} s"
            if not await wait_for_exit(job.pid, self._end_deadline(job)):
                self._kill(job)
                await wait_for_exit(job.pid, None)
                return "the worker did not end in time and was killed"
        if not begun.exists():
            return f"{self.config.python} ended without having begun with the job"
        return "the worker died without a report (kill -9, or out of memory)"

    def _started_pid(self, job: Job) -> int:
        """Return the process of the worker that has begun with the job, 0 if none has."""
        try:
            return process_id(int(read_untrusted(self._sandbox(job) / STARTED_FILE, 20)))
        except (OSError, ValueError, UntrustedError):
            return 0

    def _start_deadline(self, job: Job) -> float:
        return job.started + self.config.start_limit

    def _end_deadline(self, job: Job) -> float | None:
        if job.limit is None:
            return None
        # The worker enforces the limit of the payload; this limit is for a worker that hangs.
        return job.started + 2 * job.limit + 600 + self.config.start_limit

    def _finish(self, job: Job, state: str, detail: str) -> None:
        self.free_cores += job.cores
        self.free_mem_mb += job.mem_mb
        self.table.update(job, state, detail)
        self._dispatch()

    def _kill(self, job: Job) -> None:
        for kill in (os.killpg, os.kill):  # it is about to lead a group, if it does not yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(job.pid, signal.SIGKILL)
        self._kill_payloads(job)

    def _kill_payloads(self, job: Job) -> None:
        """Kill what is left of a job, or of the jobs of a bundle, each of which has a folder."""
        kill_marked(job.name)
        for report in self._sandbox(job).glob(f"*/{JOB_FILE}"):
            kill_marked(report.parent.name)

    def _terminate(self, job: Job) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(job.pid, signal.SIGTERM)

    async def _cancel(self, ids: Iterable[int], seconds: float) -> list[int]:
        """Cancel jobs; return those that have not ended in time."""
        jobs = [job for number in ids if (job := self.table.get(number)) is not None]
        began = time.monotonic()
        for job in jobs:
            if job.state == "queued":
                self.queue.remove(job)
                self.table.update(job, "cancelled")
            elif job.active:
                job.cancelled = True
                if job.pid:
                    self._terminate(job)
        killed = False
        while any(job.active for job in jobs) and time.monotonic() - began < seconds:
            await asyncio.sleep(0.05)
            if not killed and time.monotonic() - began > _KILL_AFTER:
                killed = True
                for job in jobs:
                    if job.active and job.pid:
                        self._kill(job)
        return [job.number for job in jobs if job.active]

    def _sandbox(self, job: Job) -> Path:
        return self.folder / names.JOBS_FOLDER / job.name


def main(folder: Path) -> None:
    """Run a site in a folder, unless one runs there already."""
    logging.basicConfig(
        filename=folder / names.LOG_FILE,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    with (folder / names.LOCK_FILE).open("w") as lock:
        if not _lock(lock.fileno()):
            return
        config = Config.loads((folder / names.CONFIG_FILE).read_text())
        log.info("started with %d cores and %d MB", config.cores, config.mem_mb)
        asyncio.run(_serve(folder, config))
        log.info("stopped")


def _lock(descriptor: int) -> bool:
    """Wait a little for the lock: the previous site may be about to end."""
    until = time.monotonic() + _ENDING
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        else:
            return True


async def _serve(folder: Path, config: Config) -> None:
    await LocalServer(folder, config).serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
