"""A small PanDA: what the client process answers, without one, and a backend before it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from snakemake_executor_plugin_grid.backends.base import Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.panda.backend import PandaBackend
from snakemake_executor_plugin_grid.backends.panda.client import Client
from snakemake_executor_plugin_grid.backends.panda.replies import UnknownTaskError
from snakemake_executor_plugin_grid.backends.panda.routes import Idds, Jedi, Route
from snakemake_executor_plugin_grid.backends.panda.sandboxes import Sandboxes
from snakemake_executor_plugin_grid.backends.panda.task import Options
from snakemake_executor_plugin_grid.backends.panda.task_registry import TaskRegistry
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.untrusted import check_size
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from snakemake_executor_plugin_grid.worker.description import Blob
from tests.unit.specs import spec

T = TypeVar("T")
CACHE = "https://cache.test"
ENDED = ("done", "finished", "failed", "broken", "aborted")


@dataclass
class GridTask:
    """A task as the server has it."""

    number: int
    parameters: dict[str, Any]
    status: str = "running"
    dialog: str = ""
    registered: bool = True
    files: dict[str, str] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.parameters["taskName"])


class FakePanda:
    """Stands in for ``Client``; ``errors`` and ``lost`` are raised before and after a call.

    Attributes:
        seconds_per_job: What a description of a job costs, 0.035 on a real server.
        loses_aborts: Whether iDDS goes on with aborted requests, as 2.6.21 may do.
    """

    def __init__(self) -> None:
        self.tasks: list[GridTask] = []
        self.requests: dict[str, dict[str, Any]] = {}
        self.submissions: dict[str, dict[str, Any]] = {}
        self.cached: dict[str, bytes] = {}
        self.secrets: dict[str, str] = {}
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.errors: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}
        self.register = True
        self.seconds_per_job = 0.0
        self.loses_aborts = False
        self.closed = False

    # The client

    async def call(self, name: str, *args: Any, limit: float = 0) -> Any:
        await asyncio.sleep(0)
        self.asked.append((name, args))
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        value = json.loads(json.dumps(getattr(self, name)(*args)))
        if name in ("failed_jobs", "describe_jobs"):
            await asyncio.sleep(self.seconds_per_job * len(value))
        if self.lost.get(name):
            raise self.lost[name].pop(0)
        return value

    async def facts(self) -> dict[str, Any]:
        return {"cache": CACHE, "server": f"{CACHE}/server/panda"}

    def close(self) -> None:
        self.closed = True

    # What the tests look at, and do

    @property
    def counts(self) -> Counter[str]:
        return Counter(name for name, _ in self.asked)

    def args_of(self, name: str) -> list[tuple[Any, ...]]:
        return [args for called, args in self.asked if called == name]

    def sandbox(self, task: GridTask) -> dict[str, bytes]:
        """Return what is in the sandbox of a task."""
        options = " ".join(item["value"] for item in task.parameters["jobParameters"])
        name = options.partition("-a ")[2].split()[0]
        with tarfile.open(fileobj=io.BytesIO(self.cached[name])) as archive:
            files = {member.name: archive.extractfile(member) for member in archive}
            return {name: file.read() for name, file in files.items() if file is not None}

    def run(self, task: GridTask, name: str, status: str = "running", **fields: Any) -> int:
        """Make a job of a payload; return its id."""
        number = 100 * task.number + len(task.jobs) + 1
        command = quote(f"sh grid-job.sh {name}", safe="-_.")
        job = {
            "PandaID": number,
            "jobStatus": status,
            "jobParameters": f'-j "" --sourceURL {CACHE} -r . -a x -p "{command}"',
        }
        task.jobs.append(job | fields)
        ready = status in ("failed", "closed", "cancelled")
        task.files[name] = "ready" if ready else status
        return number

    def task(self, number: int) -> GridTask:
        for task in self.tasks:
            if task.number == number and task.registered:
                return task
        raise UnknownTaskError("Task not found")

    # The calls of program.py

    def hello(self) -> str:
        return "alive=yes"

    def refresh(self) -> None:
        pass

    def tasks_named(self, name: str) -> list[dict[str, Any]]:
        return [
            {"jediTaskID": task.number, "taskName": name, "status": task.status}
            for task in reversed(self.tasks)
            if task.name == name and task.registered
        ]

    def submit(self, parameters: dict[str, Any]) -> dict[str, Any]:
        name = parameters["taskName"]
        for task in self.tasks:
            if task.name == name:
                assert task.status not in ENDED, "it would run again"
                message = f"jediTaskID={task.number} is in the running state"
                return {"success": False, "data": 2, "message": message}
        number = len(self.tasks) + 1
        task = GridTask(number, parameters, registered=self.register)
        task.files = dict.fromkeys(parameters["pfnList"], "ready")
        self.tasks.append(task)
        return {"success": True, "message": f"succeeded. new jediTaskID={number}"}

    def status(self, number: int) -> str:
        return self.task(number).status

    def files(self, number: int) -> list[Any]:
        files = [
            {"lfn": f"{serial:06d}:{name}", "status": status}
            for serial, (name, status) in enumerate(self.task(number).files.items())
        ]
        return [{"dataset": {}, "files": files}]

    def details(self, number: int) -> dict[str, Any]:
        task = self.task(number)
        return {"status": task.status, "errorDialog": task.dialog}

    def failed_jobs(self, number: int) -> list[dict[str, Any]]:
        bad = ("failed", "closed", "cancelled")
        return [job for job in reversed(self.task(number).jobs) if job["jobStatus"] in bad]

    def job_ids(self, number: int) -> list[int]:
        return [job["PandaID"] for job in reversed(self.task(number).jobs)]

    def describe_jobs(self, ids: Sequence[int]) -> list[dict[str, Any] | None]:
        known = {job["PandaID"]: job for task in self.tasks for job in task.jobs}
        return [known.get(number) for number in ids]

    def kill_task(self, number: int) -> None:
        task = self.task(number)
        if task.status in (*ENDED, "prepared"):
            raise PermanentError("Command rejected")
        task.status = "toabort"

    def kill_jobs(self, ids: Sequence[int]) -> list[bool]:
        return [True for _ in ids]

    def upload(self, folder: str, name: str) -> str:
        if name in self.cached:
            return "cannot overwrite file"
        self.cached[name] = (Path(folder) / name).read_bytes()
        return ""

    def set_secret(self, key: str, value: str | None) -> None:
        if value is None:
            self.secrets.pop(key, None)
        else:
            self.secrets[key] = value

    def idds_submit(self, parameters: dict[str, Any], name: str) -> str:
        number = str(len(self.requests) + 7)
        self.requests[number] = {"status": "New", "task_id": None, "errors": "", "name": name}
        self.submissions[number] = parameters
        return number

    def idds_tasks(self, requests: Sequence[str]) -> dict[str, Any]:
        known = {number: self.requests[number] for number in requests if number in self.requests}
        found = {number: dict(request) for number, request in known.items()}
        for number, request in known.items():
            if request["status"] == "Cancelling":
                request["status"] = "Transforming" if self.loses_aborts else "Failed"
            elif request["status"] == "Transforming" and request["task_id"] is None:
                self.submit(self.submissions[number])
                request["task_id"] = self.tasks[-1].number
        return found

    def idds_abort(self, requests: Sequence[str]) -> list[str]:
        known = [number for number in requests if number in self.requests]
        for number in known:
            self.requests[number]["status"] = "Cancelling"
        return known

    def idds_find(self, names: Sequence[str]) -> dict[str, str]:
        return {
            request["name"]: number
            for number, request in self.requests.items()
            if request["name"] in names
        }


class RemoteStore(DirectoryStore):
    """A store that can be watched: a folder, whose URLs may be secrets."""

    def __init__(self, folder: Path, secret: bool) -> None:
        super().__init__(folder)
        self.secret = secret
        self.posted: dict[str, bytes] = {}
        self.brought_files: dict[tuple[str, str], bytes] = {}

    def post(self, name: str, path: Path) -> str:
        assert path.stat().st_mode & 0o077 == 0
        self.posted[name] = path.read_bytes()
        return f"https://store.test/{name}"

    def withdraw(self, names: Iterable[str]) -> None:
        for name in names:
            self.posted.pop(name, None)

    def fetch_file(self, job: str, leaf: str, target: Path, most: int | None = None) -> bool:
        if (job, leaf) in self.brought_files:
            check_size(leaf, len(self.brought_files[job, leaf]), most)
            target.write_bytes(self.brought_files[job, leaf])
        return (job, leaf) in self.brought_files


class Bench:
    """A backend with a small PanDA behind it."""

    def __init__(
        self,
        folder: Path,
        options: Options | None = None,
        *,
        idds: bool = False,
        by_server: bool = False,
        secret: bool = False,
        monitor: str = "",
    ) -> None:
        self.folder = folder
        self.panda = FakePanda()
        self.worker = folder / "worker.pyz"
        self.worker.write_bytes(b"worker")
        self.spool = SpoolStore(folder / "spool", lambda: 8 << 20, "")
        self.spool.check()
        self.store = RemoteStore(folder / "store", secret)
        self.database = Database(folder / "grid.sqlite")
        self.registry = TaskRegistry(self.database)
        self.said: list[str] = []
        self._options = options or Options("testvo", user="Jane Doe")
        self._idds, self._by_server, self._monitor = idds, by_server, monitor
        self.restart()

    def restart(self) -> None:
        """Make a new backend, as another run has it."""
        client = cast(Client, self.panda)
        route: Route = (Idds if self._idds else Jedi)(client)
        sandboxes = Sandboxes(
            client,
            self.registry,
            self.spool,
            self.store,
            self.folder / "sandboxes",
            by_server=self._by_server,
        )
        self.backend = PandaBackend(
            client,
            route,
            self.registry,
            self._options,
            sandboxes,
            self.store,
            monitor=self._monitor,
            say=self.said.append,
        )

    def blob(self, content: bytes) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        path = self.spool.path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Blob(digest, len(content))

    def payload(
        self, number: int, blobs: Iterable[Blob] = (), avoid: str = "", **fields: Any
    ) -> Payload:
        blobs = tuple(blobs)
        description = json.dumps(
            {"blobs": [{"digest": blob.digest, "url": blob.url} for blob in blobs], "n": number}
        )
        job = spec(name(number), **fields)
        return Payload(job, description, blobs, self.worker, frozenset(avoid.split()))

    def submit(self, *payloads: Payload) -> list[Submitted | Rejected]:
        return self.call(self.backend.submit(payloads))

    def submitted(self, count: int, **fields: Any) -> list[str]:
        answers = self.submit(*(self.payload(number, **fields) for number in range(count)))
        assert all(isinstance(answer, Submitted) for answer in answers)
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(coroutine)

    def lose_spool(self) -> None:
        shutil.rmtree(self.spool.workspace)


def name(number: int) -> str:
    return f"sort-0000beef-{number}"


def names(*numbers: int) -> list[str]:
    return [name(number) for number in numbers]
