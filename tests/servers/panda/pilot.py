"""The sites: run jobs for real, as the pilot does with ``runGen``."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import Job, Store, Task
from .settings import Settings

_HERE = Path(__file__).parent
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Codes and messages of pilot3's pilot/common/errorcodes.py.
_NO_USER_TARBALL = 1246, "User tarball could not be downloaded from PanDA server"
_SETUP_FAILED = 1110, "Failed during payload setup"
_PAYLOAD_FAILED = 1305, "Failed to execute payload"
_LOST_HEARTBEAT = 100  # EC_Watcher of the server's job dispatcher
_KILLED = 100  # EC_Kill of the server's task buffer


@dataclass
class SiteFault:
    """A fault of a site.

    Attributes:
        kind: ``pilot_error``: jobs fail before the payload starts. ``lost_heartbeat``: jobs start
            and are not heard of again. ``closed``: no job starts.
        times: Number of jobs that fail; None for all. A site stays closed until it is repaired.
        payload: For ``lost_heartbeat``: whether the payload still runs to its end.
        code: For ``pilot_error``.
        text: For ``pilot_error``.
    """

    kind: str
    times: int | None = None
    payload: bool = False
    code: int = 1099
    text: str = "Failed to stage-in file"

    def __post_init__(self) -> None:
        if self.kind not in ("pilot_error", "lost_heartbeat", "closed"):
            raise ValueError(f"kind={self.kind!r}: not a fault of a site")


class Sites:
    """All sites, and the jobs that run there."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._children: list[subprocess.Popen[bytes]] = []
        self.faults: dict[str, SiteFault] = {}

    def tick(self) -> None:
        """Find jobs that have ended, kill those to be killed, start those that have free slots."""
        self._children = [child for child in self._children if child.poll() is None]
        used = dict.fromkeys(self._settings.sites, 0)
        waiting = []
        for job in self._store.active_jobs():
            if job.pid is not None or job.vanished:
                self._follow(job)
                if job.active:
                    used[job.site] += job.cores
            elif job.status == "activated":
                waiting.append(job)
        for job in waiting:
            if used.get(job.site, 0) + job.cores <= self._settings.slots and self._begin(job):
                used[job.site] += job.cores

    def kill(self, job: Job, by: str) -> bool:
        """Kill a job: at once if it is not running, otherwise at the next contact of its pilot.

        Returns:
            Whether there was something to kill.
        """
        if not job.active or job.killed_by:
            return False
        job.killed_by = by
        if job.pid is None and not job.vanished:
            self._cancelled(job)
        self._store.touch(job)
        return True

    def vanish(self, job: Job) -> None:
        """Let a running job's worker node go down."""
        self._signal(job, signal.SIGKILL)
        job.vanished, job.changed = True, time.time()
        self._store.touch(job)

    # One job.

    def _begin(self, job: Job) -> bool:
        fault = self.faults.get(job.site)
        if fault and fault.kind == "closed":
            return False
        if fault and fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                del self.faults[job.site]
        job.started = time.time()
        self._store.touch(job)
        if fault and fault.kind == "pilot_error":
            job.fields.update(pilotErrorCode=fault.code, pilotErrorDiag=fault.text)
            job.become("failed")
            return False
        if not fault or fault.payload:
            try:
                self._launch(job)
            except ValueError as error:  # the job parameters are no valid shell words
                code, text = _SETUP_FAILED
                job.fields.update(pilotErrorCode=code, pilotErrorDiag=f"{text}: {error}")
                job.become("failed")
                return False
        job.vanished = bool(fault)
        job.become("sent")
        # A restarted server must find the processes that it started.
        self._store.flush()
        return True

    def _launch(self, job: Job) -> None:
        task = self._store.tasks[job.task]
        folder = self._settings.pilot(job.site, job.number)
        home = folder / "home"
        home.mkdir(parents=True)
        if task.parameters.get("useSecrets") and (owned := self._store.get("secrets", job.user)):
            secrets_file = folder / "panda_secrets.json"
            secrets_file.touch(mode=0o600)
            secrets_file.write_text(json.dumps(owned))
        request = {
            "command": [
                sys.executable,
                "-IS",
                str(_HERE / "rungen.py"),
                *shlex.split(job.parameters),
            ],
            "environment": self._environment(job, task, folder),
            "hidden": self._hidden(),
        }
        (folder / "pilot.json").write_text(json.dumps(request))
        starter = [sys.executable, "-IS", str(_HERE / "starter.py")]
        if self._settings.isolate:
            starter = ["unshare", "--mount", "--propagation", "private", "--", *starter]
        with (folder / "pilot.log").open("wb") as log:
            child = subprocess.Popen(
                starter,
                cwd=folder,
                env={"PATH": _SYSTEM_PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children.append(child)
        job.pid, job.pid_started = child.pid, start_time(child.pid)

    def _environment(self, job: Job, task: Task, folder: Path) -> Mapping[str, str]:
        return {
            "PATH": f"{self._settings.worker_path}:{_SYSTEM_PATH}",
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "USER": "pilot",
            "PandaID": str(job.number),
            "PanDA_TaskID": str(task.number),
            "PanDA_AttemptNr": str(job.attempt),
            "PANDA_RESOURCE": job.site,
            "PILOT_SITENAME": job.site,
            "ATHENA_PROC_NUMBER": str(job.cores),
        }

    def _hidden(self) -> list[str]:
        if not self._settings.isolate or not self._settings.hidden.exists():
            return []
        return list(json.loads(self._settings.hidden.read_text()))

    def _follow(self, job: Job) -> None:
        """Update the state of a job that was started."""
        now, delays = time.time(), self._settings.delays
        if job.vanished:
            if now - job.changed > delays.heartbeat:
                stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(job.changed))
                job.fields.update(
                    jobDispatcherErrorCode=_LOST_HEARTBEAT,
                    jobDispatcherErrorDiag=f"lost heartbeat : {stamp}",
                )
                self._end(job, "cancelled" if job.killed_by else "failed")
            elif job.status != "running":
                self._pass(job)
            return
        if job.killed_by:
            self._kill(job, now)
            return
        result = self._result(job)
        if result is None and not is_alive(job):
            result = self._result(job)  # written just before it ended
            if result is None:
                self.vanish(job)
                return
        if result is None or job.status in ("sent", "starting"):
            self._pass(job)
        elif job.status == "running":
            job.become("holding")
            self._store.touch(job)
        elif now - job.changed > delays.step:
            self._finish(job, int(result["code"]))

    def _pass(self, job: Job) -> None:
        following = {"sent": "starting", "starting": "running"}
        if job.status in following and time.time() - job.changed > self._settings.delays.step:
            job.become(following[job.status])
            self._store.touch(job)

    def _finish(self, job: Job, code: int) -> None:
        job.fields["transExitCode"] = str(code)
        if code == 0:
            self._end(job, "finished")
            return
        number, text = _NO_USER_TARBALL if code == 146 else _PAYLOAD_FAILED
        job.fields.update(pilotErrorCode=number, pilotErrorDiag=text)
        self._end(job, "failed")

    def _kill(self, job: Job, now: float) -> None:
        if job.kill_time is None:
            job.kill_time = now
            self._store.touch(job)
            self._signal(job, signal.SIGTERM)
        hard = now - job.kill_time > self._settings.delays.kill_grace
        if hard:
            self._signal(job, signal.SIGKILL)
        if hard or not is_group_alive(job):
            self._cancelled(job)

    def _cancelled(self, job: Job) -> None:
        job.fields.update(
            taskBufferErrorCode=_KILLED, taskBufferErrorDiag=f"killed by {job.killed_by}"
        )
        self._end(job, "cancelled")

    def _end(self, job: Job, status: str) -> None:
        job.become(status)
        self._store.touch(job)

    def _result(self, job: Job) -> dict[str, Any] | None:
        try:
            text = (self._settings.pilot(job.site, job.number) / "result.json").read_text()
        except FileNotFoundError:
            return None
        found: dict[str, Any] = json.loads(text)
        return found

    def _signal(self, job: Job, number: signal.Signals) -> None:
        # The group exists, under its leader's id, as long as any of its processes runs.
        if job.pid is not None and (is_alive(job) or not Path(f"/proc/{job.pid}").exists()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.pid, number)


def is_alive(job: Job) -> bool:
    """Return whether the process that started a job's payload still runs."""
    return job.pid is not None and start_time(job.pid) == job.pid_started


def is_group_alive(job: Job) -> bool:
    """Return whether any process that a job's payload started still runs."""
    return any(
        _group(entry) == job.pid for entry in Path("/proc").iterdir() if entry.name.isdigit()
    )


def _group(process: Path) -> int | None:
    fields = _fields(process.name)
    return int(fields[2]) if fields else None


def start_time(pid: int) -> int | None:
    """Return when a process was started, in the kernel's clock ticks; None if it is gone."""
    fields = _fields(pid)
    return int(fields[19]) if fields else None


def _fields(pid: int | str) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name; None if the process has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields
