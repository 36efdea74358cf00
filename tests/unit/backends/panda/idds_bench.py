"""A client of iDDS in a Python with idds, and the PanDA server behind iDDS."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from snakemake_executor_plugin_grid.backends.panda import idds_route
from snakemake_executor_plugin_grid.backends.panda.idds_route import RequestError
from tests.servers.panda.idds import IddsService, python_with_idds

TASK = {
    "taskName": "user.me.snakemake.run1.0123",
    "uniqueTaskName": True,
    "vo": "testvo",
    "prodSourceLabel": "user",
    "noInput": True,
    "pfnList": ["a-0001", "b-0002"],
    "nFiles": 2,
    "jobParameters": [{"type": "constant", "value": '-j "" -p "sh%20grid-job.sh%20${IN/L}"'}],
    "userName": "Some Body",
}
NAME = str(TASK["taskName"])


_DRIVER = """
import json, os, sys
sys.path.append(sys.argv[1])
import idds_route
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        answer = {"value": getattr(idds_route, name)(*arguments)}
    except idds_route.RequestError as error:
        answer = {"code": error.code, "message": str(error)}
    print(json.dumps(answer), file=answers, flush=True)
"""


class Panda:
    """The parts of a PanDA server that iDDS and its relay use."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Any]] = {}
        self.states: dict[int, str] = {}
        self.refusal: tuple[int, str] | None = None
        self.idds: IddsService | None = None
        panda = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/server/panda/relay_idds_command":
                    # Compressed JSON, although no header says that it is compressed.
                    fields = json.loads(gzip.decompress(body))
                    user = str(self.headers["Authorization"]).removeprefix("Bearer ")
                    assert panda.idds
                    self._send(panda.idds.answer(user, fields))
                else:
                    asked = json.loads(body)
                    self._send(json.dumps(panda.post(self.path.split("/")[-1], asked)))

            def do_GET(self) -> None:
                number = int(parse_qs(urlsplit(self.path).query)["task_id"][0])
                data = {"jediTaskID": number, "status": panda.states[number]}
                self._send(json.dumps({"success": True, "message": "", "data": data}))

            def _send(self, text: str) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.variables = {
            **dict.fromkeys(
                ("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"),
                f"http://127.0.0.1:{self.server.server_port}/server/panda",
            ),
            "PANDA_BEHIND_REAL_LB": "1",
            "PANDA_AUTH": "oidc",
            "PANDA_AUTH_VO": "testvo",
        }

    def variables_of(self, user: str) -> dict[str, str]:
        """Return the variables of a client: the user's name is the token."""
        return self.variables | {"PANDA_AUTH_ID_TOKEN": user}

    def post(self, call: str, asked: dict[str, Any]) -> dict[str, Any]:
        if call == "kill":
            self.states[int(asked["task_id"])] = "aborted"
            return {"success": True, "message": "registered", "data": 0}
        assert call == "submit"
        if self.refusal:
            code, message = self.refusal
            return {"success": False, "message": message, "data": code}
        number = 1000 + len(self.tasks)
        self.tasks[number] = asked["task_parameters"]
        self.states[number] = "running"
        return {"success": True, "message": f"succeeded. new jediTaskID={number}", "data": 0}


class Route:
    """The module in a Python with idds, as in ``program.py``."""

    def __init__(self, python: Path, folder: Path, variables: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(python), "-I", "-c", _DRIVER, str(Path(idds_route.__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "route.log").open("a"),
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        )

    def __call__(self, name: str, *arguments: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([name, arguments]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "value" not in answer:
            raise RequestError(answer["code"], answer["message"])
        return answer["value"]

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def python() -> Path:
    found = python_with_idds()
    if found is None:
        if os.environ.get("GRID_TEST_IDDS_REQUIRED"):
            pytest.fail("GRID_TEST_IDDS_REQUIRED is set, but there is no GRID_TEST_IDDS_PYTHON")
        pytest.skip("no Python with idds-atlas, idds-client and panda-client is named")
    return found


@pytest.fixture(params=[True, False], ids=["proxy", "no-proxy"], scope="module")
def panda(
    request: pytest.FixtureRequest, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Panda]:
    made = Panda()
    folder = tmp_path_factory.mktemp("idds")
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    account = made.variables_of("the robot")
    with IddsService(folder, account, python, proxy=request.param) as made.idds:
        yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def route(panda: Panda, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Route]:
    made = Route(python, tmp_path_factory.mktemp("route"), panda.variables_of("Some Body"))
    yield made
    made.close()


def wait_for_task(
    route: Route, request: str, done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found: dict[str, Any] = route("tasks", [request])[request]
        if done(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)
