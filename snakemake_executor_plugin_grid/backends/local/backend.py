"""The local backend: a client of the grid site that runs on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console.job_logs import read_tail
from ...model.errors import PermanentError, TransientError
from ...model.state import JobState, JobStatus
from ...worker.grid_files.dirac import PYTHON as DIRAC_PYTHON
from ..base import Backend, Capacity, Payload, Rejected, Submitted
from ..packaging import copy_results, read_logs, write_job
from . import config as names
from .config import Config, machine_cores, machine_memory_mb, site_folder, socket_address
from .isolation import can_hide

if TYPE_CHECKING:
    from ...settings.options import ExecutorSettings

_START_TIMEOUT = 30.0
_CANCEL_TIMEOUT = 20.0
_CALL_TIMEOUT = 30.0
# Only this site could know the job, so waiting does not help.
_LOST = JobStatus(JobState.FAILED, "the local site has no trace of it: was its folder removed?")
_STATES = {
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "done": JobState.DONE,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}


class LocalBackend(Backend):
    """Submits to a site in a folder of this machine, and starts that site when needed."""

    name = "local"
    poll_interval = 0.1

    def __init__(
        self, settings: ExecutorSettings, workdir: Path, *, guest: bool = False, endpoint: str = ""
    ) -> None:
        """Choose the folder; nothing is started yet.

        Args:
            settings: Options of the run.
            workdir: Working directory of the workflow.
            guest: Whether a run may need the site: then ``close`` does not end it.
            endpoint: Site that has jobs of this workflow; chosen if it is on this host.
        """
        self._settings = settings
        self._guest = guest
        self._workdir = workdir
        self.folder = site_folder(settings.local_dir, workdir)
        host, _, known = endpoint.partition(":")
        # The default depends on TMPDIR, which cron may set differently.
        if settings.local_dir is None and host == socket.gethostname() and Path(known).is_dir():
            self.folder = Path(known)
        self._version = 0
        self._statuses: dict[str, JobStatus] = {}
        self._names: dict[str, str] = {}
        self._starting = asyncio.Lock()
        self._worker_written = False
        self._config: Config | None = None

    @property
    def endpoint(self) -> str:
        """Host and folder of the site."""
        return f"{socket.gethostname()}:{self.folder}"

    @property
    def store_folder(self) -> Path:
        """Folder of the store that comes with the site."""
        return self.folder / "store"

    async def check(self) -> None:
        """Make the site's folder, and check whether jobs can be isolated."""
        await asyncio.to_thread(self._prepare_folder)
        hello = await self._call("hello", start=False)
        if hello is None or (self._guest and hello["busy"]):
            return
        # After an upgrade, its jobs go on under a new site, which knows what this run asks for.
        upgraded = hello.get("version") != names.CODE_VERSION
        if (upgraded or (hello["config"] != self.config.digest and not hello["busy"])) and (
            await self._call("stop", start=False, hand_over=upgraded) == "busy"
        ):
            raise PermanentError(
                f"the local site in {self.folder} was started by another version of this plugin "
                "and still has jobs: wait until they have ended, or run 'snakemake-grid cancel'; "
                "or choose another folder by --grid-local-dir"
            )

    @property
    def config(self) -> Config:
        """Settings of the site, made of the options and this machine."""
        if self._config is None:
            self._config = self._make_config()
        return self._config

    @property
    def capacity(self) -> Capacity:
        """Processors and memory of the site."""
        return Capacity(self.config.cores, self.config.mem_mb)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Write the sandboxes, and queue the jobs in one call."""
        answers: list[Submitted | Rejected] = []
        jobs = []
        for payload, problem in zip(
            payloads, await asyncio.to_thread(self._write_sandboxes, payloads), strict=True
        ):
            if problem:
                answers.append(Rejected(problem))
            else:
                jobs.append(_request(payload))
                answers.append(Submitted(payload.spec.name))
        replies = iter(await self._call("submit", jobs=jobs))
        return [
            self._note(answer.grid_id, next(replies)) if isinstance(answer, Submitted) else answer
            for answer in answers
        ]

    def _note(self, name: str, reply: int | str) -> Submitted | Rejected:
        """Remember the id of a job, unless the reply says why it has none."""
        if isinstance(reply, str):
            return Rejected(reply)
        self._names[str(reply)] = name
        return Submitted(str(reply))

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Ask for what has changed since the last call."""
        asked = self._version
        changes = await self._call("states", since=asked)
        if asked and not self._version:  # the site was started again
            changes = await self._call("states", since=0)
        if self._version == 0:
            self._statuses.clear()
        self._version = changes["version"]
        for number, state, detail in changes["jobs"]:
            self._statuses[str(number)] = JobStatus(_STATES[state], detail, "local")
        return {grid_id: self._statuses.get(grid_id, _LOST) for grid_id in ids}

    async def find(self, wanted: Collection[str]) -> Mapping[str, str]:
        """Ask the site for ids by name."""
        found = await self._call("find", names=list(wanted))
        self._names.update((str(number), name) for name, number in found.items())
        return {name: str(number) for name, number in found.items()}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Cancel in one call, which returns when the processes are gone."""
        left = await self._call(
            "cancel",
            ids=[int(grid_id) for grid_id in ids],
            timeout=_CANCEL_TIMEOUT,
            wait=_CANCEL_TIMEOUT + _CALL_TIMEOUT,
        )
        return {str(number) for number in left}

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Copy report, log and sandbox outputs."""
        sandbox = await self._sandbox(grid_id)
        await asyncio.to_thread(copy_results, sandbox, folder)

    async def logs(self, grid_id: str) -> str:
        """Return the output of the worker and of the payload."""
        sandbox = await self._sandbox(grid_id)
        return await asyncio.to_thread(read_logs, sandbox)

    async def discard(self, ids: Collection[str]) -> None:
        """Remove the sandboxes, and tell the site to forget the jobs."""
        for grid_id in ids:  # first, as these are found by the jobs that the site knows
            self._statuses.pop(grid_id, None)
            name = self._names.pop(grid_id, None)
            if name is not None:
                sandbox = self.folder / names.JOBS_FOLDER / name
                await asyncio.to_thread(shutil.rmtree, sandbox, ignore_errors=True)
        await self._call("discard", ids=[int(grid_id) for grid_id in ids])

    async def forget(self, lost: Collection[str]) -> None:
        """Remove the sandboxes of jobs that never reached the site."""
        for name in lost:
            sandbox = self.folder / names.JOBS_FOLDER / name
            await asyncio.to_thread(shutil.rmtree, sandbox, ignore_errors=True)

    def describe(self, payload: Payload) -> str:
        """Return the request as JSON text."""
        return json.dumps(_request(payload), indent=2)

    async def close(self) -> None:
        """Tell the site to end when it is idle, and remove its folder if it has no job."""
        if self._guest:
            return
        with contextlib.suppress(TransientError):
            if await self._call("stop", start=False) in (None, "empty"):
                await asyncio.to_thread(self._remove_folder)

    async def _call(
        self, call: str, *, start: bool = True, wait: float = _CALL_TIMEOUT, **fields: Any
    ) -> Any:
        """Ask the site; None when there is none and none is to be started."""
        request = json.dumps({"call": call, **fields}).encode() + b"\n"
        reply = await self._ask(request, start, wait)
        if isinstance(reply, dict) and "error" in reply:
            raise PermanentError(f"the local site, asked to {call}: {reply['error']}")
        return reply

    async def _ask(self, request: bytes, start: bool, wait: float) -> Any:
        try:
            return await asyncio.wait_for(self._exchange(request), wait)
        except (ConnectionError, FileNotFoundError):
            if not start:
                return None
        except TimeoutError as error:
            raise TransientError("the local site does not answer") from error
        async with self._starting:
            await self._start()
        try:
            return await asyncio.wait_for(self._exchange(request), wait)
        except (ConnectionError, FileNotFoundError, TimeoutError) as error:
            raise TransientError(f"the local site does not answer: {error}") from error

    async def _exchange(self, request: bytes) -> Any:
        address = socket_address(self.folder)
        try:
            reader, writer = await asyncio.open_unix_connection(address, limit=1 << 26)
        finally:
            _release(address)
        try:
            writer.write(request)
            await writer.drain()
            line = await reader.readline()
            if not line.endswith(b"\n"):  # it was killed, perhaps within a line
                raise ConnectionResetError("the local site went away")
            return json.loads(line)
        finally:
            writer.close()

    async def _start(self) -> None:
        """Start the site unless it runs, and wait until it listens."""
        process = await asyncio.to_thread(self._launch)
        self._version = 0
        hello = json.dumps({"call": "hello"}).encode() + b"\n"
        until = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < until:
            with contextlib.suppress(ConnectionError, FileNotFoundError, TimeoutError):
                await asyncio.wait_for(self._exchange(hello), _START_TIMEOUT)
                process.returncode = 0  # it outlives this process on purpose
                return
            if process.poll():
                break
            await asyncio.sleep(0.05)
        log = self.folder / names.LOG_FILE
        last = "".join(read_tail(log, 1))
        raise PermanentError(
            f"the local site does not start: {last or 'it printed nothing'}; see {log}"
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        self._prepare_folder()
        config = self.folder / names.CONFIG_FILE
        config.touch(mode=0o600)  # the environment in it may hold secrets
        config.write_text(self.config.dumps())
        with (self.folder / names.LOG_FILE).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.server", str(self.folder)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _prepare_folder(self) -> None:
        folder = self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.lstat()
            (folder / names.JOBS_FOLDER).mkdir(exist_ok=True)
        except OSError as error:
            raise PermanentError(
                f"{folder}: cannot be used for local jobs ({error.strerror}); choose another "
                "folder by --grid-local-dir."
            ) from error
        if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
            raise PermanentError(
                f"{folder}: others can write to it or own it; choose another folder by "
                "--grid-local-dir."
            )

    def _make_config(self) -> Config:
        settings = self._settings
        # Path.absolute keeps links: a virtual environment's python is one.
        python = str((settings.local_python or Path(sys.executable)).absolute())
        hidden = ""
        kept: tuple[str, ...] = ()
        if settings.local_isolation != "off":
            prefixes = {Path(python).parents[1]}
            if settings.local_python is None:
                prefixes |= {Path(sys.prefix), Path(sys.base_prefix)}
            folders = [path for path in sorted(prefixes) if path.is_relative_to(self._workdir)]
            problem = can_hide(self._workdir, folders)
            if not problem:
                hidden, kept = str(self._workdir), tuple(str(path) for path in folders)
            elif settings.local_isolation == "require":
                raise PermanentError(
                    f"--grid-local-isolation require: is not available here: {problem}"
                )
        # A job must not depend on the PYTHON… variables of this process.
        environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
        paths = [str(Path(python).parent), environment.get("PATH", os.defpath)]
        environment["PATH"] = os.pathsep.join(paths)
        environment["SITE_NAME"] = "local"
        if settings.dirac_python is not None:  # for files on the grid
            environment[DIRAC_PYTHON] = str(settings.dirac_python)
        return Config(
            cores=settings.local_cores or machine_cores(),
            mem_mb=settings.local_mem_mb or machine_memory_mb(),
            python=python,
            warm=not settings.local_cold
            and settings.local_python is None
            and settings.runtime == "inherit",
            hidden=hidden,
            kept=kept,
            start_limit=settings.start_limit,
            environment=environment,
        )

    def _write_sandboxes(self, payloads: Sequence[Payload]) -> list[str]:
        worker = self.folder / names.WORKER_FILE
        problems = []
        for payload in payloads:
            try:
                if not self._worker_written:
                    self._prepare_folder()
                    part = worker.with_suffix(".part")
                    shutil.copyfile(payload.worker, part)
                    part.replace(worker)
                    self._worker_written = True
                write_job(payload, self.folder / names.JOBS_FOLDER / payload.spec.name)
                problems.append("")
            except OSError as error:
                problems.append(
                    f"the job's sandbox in {self.folder} cannot be written: {error.strerror}; "
                    "choose another folder by --grid-local-dir"
                )
        return problems

    async def _sandbox(self, grid_id: str) -> Path:
        if grid_id not in self._names:
            raise PermanentError(f"the local site has no job {grid_id}")
        return self.folder / names.JOBS_FOLDER / self._names[grid_id]

    def _remove_folder(self) -> None:
        """Remove the folder unless it has results that were not fetched."""
        with contextlib.suppress(FileNotFoundError):
            if any((self.folder / names.JOBS_FOLDER).iterdir()):
                return
        shutil.rmtree(self.folder, ignore_errors=True)


def _request(payload: Payload) -> dict[str, Any]:
    resources = payload.spec.resources
    return {
        "name": payload.spec.name,
        "cores": resources.processors,
        "mem_mb": resources.memory_mb or 0,
        "limit": resources.runtime_s,
    }


def _release(address: str) -> None:
    """Close the folder that a short address goes through."""
    if address.startswith("/proc/self/fd/"):
        os.close(int(address.split("/")[4]))
