"""What tests of the PanDA server share: a sandbox in its cache, payloads that obey."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.servers.panda.client import Client
from tests.servers.panda.fixture import panda_server
from tests.servers.panda.server import PandaServer
from tests.servers.panda.world import RelayedCommand, World

__all__ = ["Grid", "clients", "grid", "panda_client", "panda_server", "until"]

T = TypeVar("T")
FINAL = {"done", "finished", "failed", "broken", "aborted"}


class Grid:
    """A server, a client of it, and a sandbox in the cache.

    A payload gets a word: it writes it to a file, and then does as it says: ``sleep`` for long,
    ``fail`` with code 3, ``once`` fails at its first attempt, all else ends well.
    """

    def __init__(self, server: PandaServer, client: Client, folder: Path) -> None:
        self.server = server
        self.client = client
        self.folder = folder
        self.ran = folder / "ran"
        self.ran.mkdir()
        script = f"""\
            echo run >> {self.ran}/$1
            case $1 in
                *sleep*) sleep 60 ;;
                *fail*) exit 3 ;;
                *once*) [ $(wc -l < {self.ran}/$1) -gt 1 ] ;;
                *show*) env > {self.ran}/env; ls -A . ../home > {self.ran}/ls; cat k > {self.ran}/k
                    ls {folder}/hidden > {self.ran}/hidden 2>&1; true ;;
            esac
            """
        (client.folder / "job.sh").write_text(script)
        self.sandbox = self.put_sandbox()

    def put_sandbox(self) -> str:
        name = f"sources.{uuid.uuid4().hex}.tar.gz"
        subprocess.run(["tar", "czf", name, "job.sh"], cwd=self.client.folder, check=True)
        assert self.client("putFile", name) == (0, "True")
        return name

    def parameters(self, *words: str, **more: Any) -> dict[str, Any]:
        command = urllib.parse.quote("sh job.sh ")
        options = f'-j "" --sourceURL ${{SURL}} -r . -a {self.sandbox} -p "{command}${{IN/L}}"'
        found = {
            "taskName": f"user.{uuid.uuid4().hex}",
            "uniqueTaskName": True,
            "vo": "testvo",
            "prodSourceLabel": "user",
            "processingType": "test",
            "architecture": "",
            "transUses": "",
            "transHome": "",
            "site": "SITE_A",
            "noInput": True,
            "pfnList": list(words),
            "nFiles": len(words),
            "nFilesPerJob": 1,
            "maxAttempt": 1,
            "skipScout": True,
            "sourceURL": self.server.url,
            "jobParameters": [{"type": "constant", "value": options}],
        } | more
        return {key: value for key, value in found.items() if value is not ...}

    def submit(self, *words: str, **more: Any) -> int:
        return self.submit_these(self.parameters(*words, **more))

    def submit_these(self, parameters: dict[str, Any]) -> int:
        code, (inner, message) = self.client("insertTaskParams", parameters)
        assert (code, inner) == (0, 0), message
        return int(message.partition("succeeded. new jediTaskID=")[2])

    def status(self, task: int) -> Any:
        return self.client("getTaskStatus", task)

    def wait(self, task: int, *states: str) -> str:
        wanted = set(states) or FINAL
        return str(until(lambda: (found := self.status(task))[1] in wanted and found[1]))

    def files(self, task: int) -> dict[str, str]:
        code, found = self.client("get_files_in_datasets", task)
        assert code == 0
        return {file["lfn"]: file["status"] for file in found[0]["files"]}

    def bad_jobs(self, task: int) -> list[dict[str, Any]]:
        code, found = self.client("get_job_descriptions", task, True)
        assert code == 0
        return list(found)

    def runs(self, word: str) -> int:
        file = self.ran / word
        return len(file.read_text().splitlines()) if file.exists() else 0

    def running(self, word: str) -> None:
        until(lambda: self.runs(word))


class Echo:
    """Answers a relayed iDDS command with what it was."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def __call__(self, command: RelayedCommand) -> str:
        kwargs = json.loads(command.kwargs or "{}")
        said = [command.user, command.command_name, command.args, kwargs, command.manager]
        return json.dumps([True, said])


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.03)
    return found


@pytest.fixture(scope="session")
def panda_client(
    panda_server: PandaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Return the client of Alice Test, in a folder of its own."""
    client = Client(panda_server.environment(), tmp_path_factory.mktemp("panda-client"))
    yield client
    client.close()


@pytest.fixture
def grid(panda_server: PandaServer, panda_client: Client, tmp_path: Path) -> Iterator[Grid]:
    """Return a server without faults, and a client."""
    yield Grid(panda_server, panda_client, tmp_path)
    panda_server.start()
    panda_server.clear_faults()
    panda_server.oidc(approved=None, denied=False, lifetime=3600)
    panda_server.write_token()


@pytest.fixture
def clients(panda_server: PandaServer, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    """Make more clients, ended with the test."""
    made: list[Client] = []

    def make(environment: dict[str, str]) -> Client:
        made.append(Client(environment, tmp_path))
        return made[-1]

    yield make
    for client in made:
        client.close()
