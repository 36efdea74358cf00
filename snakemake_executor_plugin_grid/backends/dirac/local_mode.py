"""DIRAC's local mode: jobs run on this machine as DIRAC runs them on the grid, for a trial."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...console.job_logs import read_tail, read_text
from ...model.errors import PermanentError
from ...model.state import JobState, JobStatus
from ...model.untrusted import UntrustedError, read_untrusted
from ...worker.description import LOG_FILE
from ...worker.processes import kill_marked
from ..base import Backend, Payload, Rejected, Submitted
from ..local.config import machine_cores
from ..packaging import SCRIPT
from . import local_run
from .jdl import Options, requirements
from .local_results import DIRAC_LOG, collect, places

_PROGRAM = Path(local_run.__file__)
_JOB_SCRIPT, _WORKER_FILE, _JOBS_FILE = local_run.INPUTS
_SITE = "DIRAC.Client.local"  # as DIRAC calls itself without a configuration
_CHECK_TIMEOUT = 120.0
_KILL_AFTER = 5.0
_CANCEL_TIMEOUT = 15.0
_LONGEST = 1 << 20  # bytes of DIRAC's message


@dataclass
class _Job:
    name: str
    cores: int
    sandbox: Path
    status: JobStatus = JobStatus(JobState.QUEUED, "", _SITE)  # noqa: RUF009  # it is frozen
    process: subprocess.Popen[bytes] | None = None
    cancelled: bool = False


class LocalModeBackend(Backend):
    """Runs each job by ``Dirac().submitJob(job, mode="local")``, some at a time.

    Jobs live no longer than this object.
    """

    # A separate name: jobs that a run has left on the server do not belong to this backend.
    name = "dirac-local"
    poll_interval = 0.5
    outlives_run = False

    def __init__(
        self,
        spool: Path,
        *,
        options: Options | None = None,
        python: Path | None = None,
        cores: int = 0,
    ) -> None:
        """Start nothing yet.

        Args:
            spool: Folder of the blobs that have no URL, each under its digest.
            options: What would go into the JDL: it is checked as for a server.
            python: Interpreter that has DIRAC, by default the one that runs this.
            cores: Processors that jobs may use together, 0 for all of this machine.
        """
        self._spool = spool
        self._options = options or Options()
        # Path.absolute keeps links: a virtual environment's python is one.
        self._python = (python or Path(sys.executable)).absolute()
        self._cores = cores or machine_cores()
        self._free = self._cores
        self._folder: Path | None = None
        self._jobs: dict[str, _Job] = {}
        self._queue: deque[_Job] = deque()

    async def check(self) -> None:
        """See whether the interpreter has DIRAC."""
        await asyncio.to_thread(self._check)

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        """Write the sandboxes, and start as many jobs as there are processors."""
        new = [payload for payload in payloads if payload.spec.name not in self._jobs]
        errors: dict[str, Rejected] = {}
        for payload, made in zip(
            new, await asyncio.to_thread(self._write_sandboxes, new), strict=True
        ):
            if isinstance(made, Rejected):
                errors[payload.spec.name] = made
            else:
                self._jobs[made.name] = made
                self._queue.append(made)
        self._advance()
        names = [payload.spec.name for payload in payloads]
        return [errors.get(name) or Submitted(name) for name in names]

    def may_bundle(self, payload: Payload) -> bool:
        """Return that it does not: its jobs run here, and wait for no queue."""
        return False

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Check which processes have ended."""
        self._advance()
        return {grid_id: self._jobs[grid_id].status for grid_id in ids if grid_id in self._jobs}

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the jobs of this run: their names are their ids."""
        return {name: name for name in names if name in self._jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        """End the jobs' processes by SIGTERM, then by SIGKILL."""
        jobs = [self._jobs[grid_id] for grid_id in ids if grid_id in self._jobs]
        for job in jobs:
            job.cancelled = True
            if job in self._queue:
                self._queue.remove(job)
                job.status = JobStatus(JobState.CANCELLED, "", _SITE)
        return await asyncio.to_thread(_end, jobs)

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Collect report, log and outputs from where DIRAC has left them."""
        await asyncio.to_thread(collect, self._job(grid_id).sandbox, folder)

    async def logs(self, grid_id: str) -> str:
        """Return the output of DIRAC and of the job."""
        sandbox = self._job(grid_id).sandbox
        texts = [
            read_text(place / name)
            for name in (DIRAC_LOG, "std.out", "std.err", LOG_FILE)
            for place in places(sandbox)
        ]
        return "".join(text for text in texts if text.strip())

    async def discard(self, ids: Collection[str]) -> None:
        """Remove the sandboxes of ended jobs."""
        for grid_id in ids:
            job = self._jobs.pop(grid_id, None)
            if job is not None:
                await asyncio.to_thread(shutil.rmtree, job.sandbox, ignore_errors=True)

    def describe(self, payload: Payload) -> str:
        """Return what DIRAC is told, as a JDL."""
        inputs, outputs = (
            ", ".join(f'"{leaf}"' for leaf in leaves)
            for leaves in (local_run.INPUTS, local_run.OUTPUTS)
        )
        return (
            f'JobName = "{payload.spec.name}";\n'
            f'Executable = "{_JOB_SCRIPT}";\n'
            f'Arguments = "{payload.spec.name}";\n'
            f"InputSandbox = {{{inputs}}};\n"
            f"OutputSandbox = {{{outputs}}};\n"
        )

    async def close(self) -> None:
        """End the jobs that still run, whose results nobody would fetch, and remove the folder."""
        self._queue.clear()
        await asyncio.to_thread(_end, list(self._jobs.values()))
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            self._folder = None

    def _job(self, grid_id: str) -> _Job:
        if grid_id not in self._jobs:
            raise PermanentError(f"DIRAC's local mode has no job {grid_id} in this run")
        return self._jobs[grid_id]

    def _check(self) -> None:
        test = "import DIRAC.Interfaces.API.Dirac, DIRAC.Interfaces.API.Job"
        try:
            done = subprocess.run(
                [self._python, "-c", test],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_CHECK_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PermanentError(
                f"{self._python} cannot be run ({error}); see --grid-dirac-python"
            ) from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise PermanentError(
                f"{self._python} has no DIRAC client that works "
                f"({lines[-1] if lines else f'exit code {done.returncode}'}); name one that has by "
                "--grid-dirac-python"
            )
        if shutil.which("dirac-jobexec", path=self._environment()["PATH"]) is None:
            raise PermanentError(
                f"there is no dirac-jobexec beside {self._python}, nor in PATH, which DIRAC's "
                "local mode starts jobs by; see --grid-dirac-python"
            )

    def _environment(self) -> dict[str, str]:
        """Return the variables of the jobs' processes, without what is meant for this one."""
        # By JOBID a job would report to the server as the grid job that this runs in.
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("PYTHON") and key != "JOBID"
        }
        # The worker has to find the Python of Snakemake, and DIRAC its own commands.
        paths = [
            str(Path(sys.executable).parent),
            environment.get("PATH", os.defpath),
            str(self._python.parent),
        ]
        environment["PATH"] = os.pathsep.join(paths)
        environment["SITE_NAME"] = _SITE
        if self._folder is not None:
            environment["TMPDIR"] = str(self._folder / "tmp")
        return environment

    def _write_sandboxes(self, payloads: Sequence[Payload]) -> list[_Job | Rejected]:
        made: list[_Job | Rejected] = []
        for payload in payloads:
            try:
                requirements(payload.spec, self._options)  # as a server would be asked
                made.append(self._write_sandbox(payload))
            except PermanentError as error:
                made.append(Rejected(str(error)))
            except OSError as error:
                made.append(
                    Rejected(
                        f"the job's sandbox in {self._folder or tempfile.gettempdir()} cannot be "
                        f"written: {error.strerror}; choose another place by TMPDIR"
                    )
                )
        return made

    def _write_sandbox(self, payload: Payload) -> _Job:
        name = payload.spec.name
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="snakemake-grid-dirac-"))
            (self._folder / "tmp").mkdir()
        sandbox = self._folder / name
        sandbox.mkdir(mode=0o700, exist_ok=True)
        script = sandbox / _JOB_SCRIPT
        script.write_text(SCRIPT)
        script.chmod(0o700)
        shutil.copyfile(payload.worker, sandbox / _WORKER_FILE)
        job = {
            "job": self._with_urls(payload.description),
            "environment": dict(payload.spec.environment),
        }
        jobs = sandbox / _JOBS_FILE
        jobs.touch(mode=0o600)  # the environment in it may hold secrets
        jobs.write_text(json.dumps({name: job}))
        # A job that asks for more processors than there are runs alone.
        return _Job(name, min(payload.spec.resources.processors, self._cores), sandbox)

    def _with_urls(self, description: str) -> str:
        """Let the worker read blobs in place: DIRAC would unpack tarballs in a sandbox."""
        fields = json.loads(description)
        for blob in fields["blobs"]:
            if not blob["url"]:
                blob["url"] = (self._spool / blob["digest"]).absolute().as_uri()
        return json.dumps(fields)

    def _advance(self) -> None:
        """Note which processes have ended, and start others."""
        for job in self._jobs.values():
            if job.process is not None and not job.status.state.ended:
                code = job.process.poll()
                if code is not None:
                    job.status = _ended(job, code)
                    self._free += job.cores
        while self._queue and self._queue[0].cores <= self._free:
            self._start(self._queue.popleft())

    def _start(self, job: _Job) -> None:
        try:
            with (job.sandbox / DIRAC_LOG).open("ab") as log:
                job.process = subprocess.Popen(
                    [self._python, _PROGRAM, job.name, str(os.getpid())],
                    cwd=job.sandbox,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            job.status = JobStatus(JobState.FAILED, f"cannot be started: {error}", _SITE)
            return
        self._free -= job.cores
        job.status = JobStatus(JobState.RUNNING, "", _SITE)


def _ended(job: _Job, code: int) -> JobStatus:
    if job.cancelled:
        return JobStatus(JobState.CANCELLED, "", _SITE)
    if code == 0:
        return JobStatus(JobState.DONE, "", _SITE)
    try:
        message = read_untrusted(job.sandbox / local_run.MESSAGE_FILE, _LONGEST).decode(
            errors="replace"
        )
    except (OSError, UntrustedError):
        last = "".join(read_tail(job.sandbox / DIRAC_LOG, 1))
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        message = f"DIRAC's local mode ended with {how}{f': {last}' if last else ''}"
    return JobStatus(JobState.FAILED, message, _SITE)


def _end(jobs: Sequence[_Job]) -> set[str]:
    """End processes; return the names of jobs of which some are still there."""
    left = [job for job in jobs if not job.status.state.ended and _is_there(job)]
    began = time.monotonic()
    for job in left:
        _signal(job, signal.SIGTERM)
    killed = False
    while left and time.monotonic() - began < _CANCEL_TIMEOUT:
        time.sleep(0.05)
        left = [job for job in left if _is_there(job)]
        if not killed and time.monotonic() - began > _KILL_AFTER:
            killed = True
            for job in left:
                _signal(job, signal.SIGKILL)
                kill_marked(job.name)
    return {job.name for job in left}


def _is_there(job: _Job) -> bool:
    """Return whether any process of the job's session is left."""
    if job.process is None:
        return False
    job.process.poll()  # reaps it
    try:
        os.killpg(job.process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _has_members(job.process.pid)


def _has_members(group: int) -> bool:
    """Return whether a process group has more than zombies, which init may leave for a while."""
    if not Path("/proc/self/stat").exists():
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(number) == group and state != "Z":
            return True
    return False


def _signal(job: _Job, number: int) -> None:
    if job.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(job.process.pid, number)
