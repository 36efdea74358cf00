"""A small DIRAC: what the client process answers, without one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.model.errors import PermanentError


@dataclass
class GridJob:
    """A job as the server has it."""

    name: str
    group: str
    jdl: str
    status: str = "Submitting"
    minor: str = "Bulk transaction confirmation"
    application: str = "Unknown"
    site: str = "ANY"
    history: list[list[str]] = field(default_factory=list)
    sandbox: dict[str, bytes] = field(default_factory=dict)

    @property
    def sandboxes(self) -> list[str]:
        """Addresses of input sandboxes: those that stand there, and those by parameter."""
        names = json.loads(f"[{listed(self.jdl, 'Parameters')}]")
        place = names.index(self.name)
        found = []
        for address in json.loads(f"[{listed(self.jdl, 'InputSandbox')}]"):
            parameter = re.fullmatch(r"%\((\w+)\)s", address)
            if parameter:
                column = json.loads(f"[{listed(self.jdl, f'Parameters.{parameter[1]}')}]")
                address = column[place]
            found.append(address)
        return found


def listed(jdl: str, attribute: str) -> str:
    """Return what is between the braces of an attribute, nothing if it is not there."""
    match = re.search(rf"^{re.escape(attribute)} = \{{(.*)\}};$", jdl, re.MULTILINE)
    return match[1] if match else ""


class FakeDirac:
    """Stands in for ``Client``; ``errors`` and ``lost`` are raised before and after a call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.max_parametric = self.allowed = 100
        self.job_limits: dict[str, int] = {}
        self.limit = 10 << 20
        self.jobs: dict[int, GridJob] = {}
        self.uploads: list[dict[str, bytes]] = []
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.errors: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}
        self.proxy_fields: dict[str, Any] = {
            "path": "/tmp/x509up",
            "seconds_left": 7200.0,
            "limited": False,
            "group": "dirac_user",
            "properties": ["NormalUser"],
            "user": "me",
            "vo": "vo",
        }
        self.closed = False
        self.version = self.servers = "9.1.22"
        self.sites_there: list[str] = []
        self.active = ["DIRAC.A.test", "DIRAC.B.test"]

    # The client

    async def call(self, name: str, *args: Any, limit: float = 0) -> Any:
        return self.call_now(name, *args, limit=limit)

    def call_now(self, name: str, *args: Any, limit: float = 0) -> Any:
        self.asked.append((name, args))
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        value = json.loads(json.dumps(getattr(self, name)(*args)))
        if self.lost.get(name):
            raise self.lost[name].pop(0)
        return value

    async def facts(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "max_parametric": self.max_parametric,
            "job_limits": self.job_limits,
            "sites": self.sites_there,
        }

    def sandbox_limit(self) -> int:
        return self.limit

    def close(self) -> None:
        self.closed = True

    # What the tests look at

    @property
    def counts(self) -> Counter[str]:
        return Counter(name for name, _ in self.asked)

    def args_of(self, name: str) -> list[tuple[Any, ...]]:
        return [args for called, args in self.asked if called == name]

    def named(self, name: str) -> list[GridJob]:
        return [job for job in self.jobs.values() if job.name == name]

    # The calls of the program

    def proxy(self) -> dict[str, Any]:
        return self.proxy_fields

    def server_version(self) -> str:
        return self.servers

    def storage_elements(self) -> list[str]:
        return ["SE-1", "SE-2"]

    def active_sites(self) -> list[str]:
        return self.active

    def create(self, jdl: str) -> list[int]:
        names = json.loads(f"[{listed(jdl, 'Parameters')}]")
        if len(names) > self.allowed:
            raise PermanentError(f"Number of parametric jobs exceeds the limit of {self.allowed}")
        group = re.search(r'^JobGroup = "(.*)";$', jdl, re.MULTILINE)
        assert group is not None
        first = len(self.jobs) + 1
        for number, name in enumerate(names, first):
            self.jobs[number] = GridJob(name, group[1], jdl)
        return list(range(first, first + len(names)))

    def confirm(self, ids: Sequence[int]) -> None:
        for number in ids:
            assert self.jobs[number].status == "Submitting"
            self.jobs[number].status, self.jobs[number].minor = "Waiting", "Job accepted"

    def jobs_of(self, group: str) -> list[tuple[int, str, str, str]]:
        return [
            (number, job.name, job.status, job.minor)
            for number, job in reversed(self.jobs.items())
            if job.group == group
        ]

    def states(self, ids: Sequence[int]) -> dict[int, tuple[str, str, str]]:
        assert all(isinstance(number, int) for number in ids)
        return {
            number: (job.status, job.minor, job.application)
            for number in ids
            if (job := self.jobs.get(number))
        }

    def sites(self, ids: Sequence[int]) -> dict[int, str]:
        return {number: self.jobs[number].site for number in ids}

    def kill(self, ids: Sequence[int]) -> list[int]:
        killed = [n for n in ids if self.jobs[n].status not in ("Done", "Failed", "Killed")]
        for number in killed:
            self.jobs[number].status = "Killed"
        return killed

    def history(self, number: int) -> list[list[str]]:
        return self.jobs[number].history

    def upload_sandbox(self, paths: Sequence[str]) -> str:
        self.uploads.append({Path(path).name: Path(path).read_bytes() for path in paths})
        return f"SB:ProductionSandboxSE|/SandBox/{len(self.uploads)}.tar.zst"

    def fetch_sandbox(self, number: int, folder: str) -> list[str]:
        for name, content in self.jobs[number].sandbox.items():
            (Path(folder) / name).write_bytes(content)
        return list(self.jobs[number].sandbox)

    def sizes(self, lfns: Sequence[str]) -> dict[str, int | None]:
        return {lfn: len(self.files[lfn]) if lfn in self.files else None for lfn in lfns}

    def put(self, lfn: str, path: str, element: str) -> None:
        if lfn in self.files:
            raise PermanentError(f"The supplied LFN already exists in the File Catalog. {lfn}")
        self.files[lfn] = Path(path).read_bytes()

    def get(self, lfn: str, folder: str) -> str:
        if lfn not in self.files:
            raise PermanentError("No such file or directory")
        path = Path(folder) / lfn.rpartition("/")[2]
        path.write_bytes(self.files[lfn])
        return str(path)

    def remove(self, lfns: Sequence[str]) -> dict[str, str]:
        for lfn in lfns:
            self.files.pop(lfn, None)
        return {}
