"""Requests to iDDS: what answers mean, and the real code of idds at both ends."""

from __future__ import annotations

import enum
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from snakemake_executor_plugin_grid.backends.panda import idds_route
from snakemake_executor_plugin_grid.backends.panda.idds_route import (
    NOT_ANSWERED,
    REFUSED,
    RequestError,
)
from tests.servers.panda.idds import RELAY, IddsService, python_with_idds
from tests.servers.panda.server import PandaServer

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


class Status(enum.Enum):
    """As those of idds are."""

    Transforming = 2


class FakeApi:
    """In place of the object that `get_api` returns."""

    def __init__(self) -> None:
        self.setup: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.answers: list[Any] = []

    def get_api(self, dumper: Any = None, **setup: Any) -> FakeApi:
        self.setup = setup
        return self

    def __getattr__(self, command: str) -> Callable[..., Any]:
        setup = dict(self.setup)

        def send(**arguments: Any) -> Any:
            self.calls.append((command, setup, arguments))
            return self.answers.pop(0)

        return send


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    fake = FakeApi()
    modules: dict[str, Any] = {
        "idds": ModuleType("idds"),
        "idds.common": ModuleType("idds.common"),
        "idds.common.utils": ModuleType("idds.common.utils"),
        "pandaclient": ModuleType("pandaclient"),
    }
    modules["idds.common.utils"].json_dumps = json.dumps
    modules["idds.common.utils"].json_loads = json.loads
    modules["pandaclient"].idds_api = fake
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((255, "[Errno 111] Connection refused"), NOT_ANSWERED, "[Errno 111] Connection refused"),
        ((255, b"ERROR : token has expired"), NOT_ANSWERED, "ERROR : token has expired"),
        ((255, None), NOT_ANSWERED, "no reason given"),
        ((0, "garbage"), NOT_ANSWERED, "unexpected answer: 'garbage'"),
        ((0, {"success": True}), NOT_ANSWERED, "unexpected answer: {'success': True}"),
        ((0, [False, "failed to execute command"]), REFUSED, "failed to execute command"),
        ((0, [True, [False, "no such thing"]]), REFUSED, "no such thing"),
        ((0, [True, [True, [False, {"msg": "deep"}]]]), REFUSED, "deep"),
        ((0, [True, "Authentication no permission"]), REFUSED, "Authentication no permission"),
        ((0, [True, None]), REFUSED, "no reason given"),
        ((0, (True, (-1, "No matching requests"))), REFUSED, "No matching requests"),
        (
            (0, [True, [[-1, {"status": -1, "message": "No match requests"}]]]),
            REFUSED,
            "No match requests",
        ),
    ],
)
def test_refusals(api: FakeApi, answer: Any, code: int, message: str) -> None:
    api.answers = [answer]
    with pytest.raises(RequestError) as raised:
        idds_route.find([NAME])
    assert (raised.value.code, str(raised.value)) == (code, message)


def test_messages_are_not_endless(api: FakeApi) -> None:
    api.answers = [(0, [False, "x" * 100_000])]
    with pytest.raises(RequestError, match=r"^x{1000}$"):
        idds_route.find([NAME])


def test_find_takes_only_the_very_name(api: FakeApi) -> None:
    api.answers = [(0, [True, {NAME: 7, NAME.replace(".", "_"): 8}]), (0, [True, {}])]
    assert idds_route.find([NAME, "other"]) == {NAME: "7"}
    assert [arguments for _, _, arguments in api.calls] == [{"name": NAME}, {"name": "other"}]


def test_commands_are_compressed_and_for_the_right_client(api: FakeApi) -> None:
    api.answers = [(0, [True, {}]), (0, [True, []]), (0, [True, [[0, {"status": 0}]]])]
    idds_route.find([NAME])
    idds_route.tasks(["7"])
    idds_route.abort(["7"])
    assert [(command, setup["manager"]) for command, setup, _ in api.calls] == [
        ("get_request_id_by_name", False),
        ("get_requests", False),
        ("abort", True),
    ]
    assert all(setup["compress"] for _, setup, _ in api.calls)


def test_the_manager_is_asked_where_the_server_has_no_proxy(api: FakeApi) -> None:
    api.answers = [
        (0, [False, "failed to execute command with Cannot find a valid x509 proxy."]),
        (0, [True, {NAME: 7}]),
    ]
    assert idds_route.find([NAME]) == {NAME: "7"}
    assert [setup["manager"] for _, setup, _ in api.calls] == [False, True]


def test_a_task_is_that_of_the_newest_processing(api: FakeApi) -> None:
    request = {"status": Status.Transforming, "errors": None, "workload_id": 1}
    api.answers = [
        (
            0,
            [
                True,
                [
                    request | {"processing_id": 11, "processing_workload_id": 101},
                    request | {"processing_id": 13, "processing_workload_id": None},
                    request | {"processing_id": 12, "processing_workload_id": 102},
                ],
            ],
        ),
        (0, [True, [request | {"errors": {"submit_err": {"msg": "full"}, "msg": ""}}]]),
        (0, [True, []]),
    ]
    assert idds_route.tasks(["1", "2", "3"]) == {
        "1": {"status": "Transforming", "task_id": 102, "errors": ""},
        "2": {"status": "Transforming", "task_id": None, "errors": "full"},
    }
    assert [arguments["request_id"] for _, _, arguments in api.calls] == [1, 2, 3]


def test_abort_goes_on_after_a_refusal_not_after_silence(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    done = (0, [True, [[0, {"status": 0, "message": "Command registered successfully"}]]])
    api.answers = [(0, [True, [False, "not yours"]]), done, (255, "timed out")]
    assert idds_route.abort(["1", "2"]) == ["2"]
    assert "request 1: not yours" in capsys.readouterr().out
    with pytest.raises(RequestError, match="timed out"):
        idds_route.abort(["3"])


# With the packages of idds.

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
    """As much of a PanDA server as iDDS and its relay use."""

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
                    # Sent as JSON, and not by its headers said to be compressed.
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
    """The module, as ``program.py`` has it: in the Python with idds."""

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


def _wait(route: Route, request: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found: dict[str, Any] = route("tasks", [request])[request]
        if done(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_a_request_becomes_a_task(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, NAME)
    assert request.isdigit()
    found = _wait(route, request, lambda found: found["task_id"])
    assert found["status"] == "Transforming"
    assert panda.tasks[found["task_id"]] == TASK
    assert route("find", [NAME, "user.nobody"])[NAME] == request
    panda.states[found["task_id"]] = "finished"
    assert _wait(route, request, lambda found: found["status"] != "Transforming") == {
        "status": "SubFinished",
        "task_id": found["task_id"],
        "errors": "",
    }


def test_many_inputs_and_any_text_come_through(route: Route, panda: Panda) -> None:
    task = TASK | {
        "pfnList": [f"job-{number:05d}-{'ä' * 20}" for number in range(2000)],
        "jobParameters": [{"type": "constant", "value": "'\"\\ ${IN/L} %{x}\n\t<>&?"}],
        "log": {"dataset": "user.me.log/", "type": "template", "value": "log.tgz"},
    }
    request = route("submit", task, "user.me.many")
    found = _wait(route, request, lambda found: found["task_id"])
    assert panda.tasks[found["task_id"]] == task


def test_a_request_survives_a_restart_of_idds(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, "user.me.restart")
    task = _wait(route, request, lambda found: found["task_id"])["task_id"]
    assert panda.idds
    panda.idds.close()
    assert route("find", ["user.me.restart"]) == {"user.me.restart": request}
    panda.states[task] = "done"
    assert _wait(route, request, lambda found: found["status"] == "Finished")["task_id"] == task


def test_abort_kills_the_task(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, "user.me.abort")
    task = _wait(route, request, lambda found: found["task_id"])["task_id"]
    assert route("abort", [request, "12345"]) == [request]
    assert _wait(route, request, lambda found: found["status"] == "Cancelled")["task_id"] == task
    assert panda.states[task] == "aborted"


def test_a_task_that_panda_refuses_fails_the_request(
    route: Route, panda: Panda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panda, "refusal", (10, "Too many active tasks for Some Body"))
    request = route("submit", TASK, "user.me.refused")
    found = _wait(route, request, lambda found: found["status"] == "Failed")
    assert found["task_id"] is None


def test_the_task_that_is_there_is_taken_for_a_repeated_name(
    route: Route, panda: Panda, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = 1, "jediTaskID=1000 is already queued for outDS=x. You cannot submit duplicated tasks"
    monkeypatch.setattr(panda, "refusal", refusal)
    panda.states[1000] = "running"
    request = route("submit", TASK, "user.me.repeated")
    assert _wait(route, request, lambda found: found["task_id"])["task_id"] == 1000


def test_somebody_elses_requests_are_safe(
    route: Route, panda: Panda, python: Path, tmp_path: Path
) -> None:
    request = route("submit", TASK, "user.me.mine")
    other = Route(python, tmp_path, panda.variables_of("Another One"))
    assert other("abort", [request]) == []
    other.close()
    log = (tmp_path / "route.log").read_text()
    assert f"request {request}: User Another One has no permission to update" in log
    assert _wait(route, request, lambda found: found["task_id"])["status"] == "Transforming"


def test_a_name_that_is_too_long_is_refused_by_idds_itself(route: Route) -> None:
    with pytest.raises(RequestError, match="value too long") as raised:
        route("submit", TASK, "n" * 300)
    assert raised.value.code == REFUSED


def test_a_task_that_idds_does_not_understand_is_refused(route: Route) -> None:
    with pytest.raises(RequestError, match="idds does not understand the task") as raised:
        route("submit", TASK | {"log": "x"}, "user.me.odd")
    assert raised.value.code == REFUSED


def test_unknown_requests_are_left_out(route: Route) -> None:
    assert route("tasks", ["987654"]) == {}
    assert route("find", ["user.nobody.at.all"]) == {}
    assert route("abort", ["987654"]) == []


def test_no_server_is_no_refusal(panda: Panda, python: Path, tmp_path: Path) -> None:
    nowhere = Panda()
    nowhere.server.server_close()
    route = Route(python, tmp_path, nowhere.variables_of("Some Body"))
    for call in (("submit", TASK, NAME), ("tasks", ["1"]), ("abort", ["1"]), ("find", [NAME])):
        with pytest.raises(RequestError) as raised:
            route(*call)
        assert raised.value.code == NOT_ANSWERED
    route.close()


def test_on_the_test_server(python: Path, tmp_path: Path) -> None:
    server = PandaServer.create(tmp_path / "server", idds=RELAY)
    try:
        server.start()
        route = Route(python, tmp_path, server.environment("Some Body"))
        request = route("submit", TASK, NAME)
        found = _wait(route, request, lambda found: found["task_id"])
        server.kill()
        with pytest.raises(RequestError) as raised:
            route("tasks", [request])
        assert raised.value.code == NOT_ANSWERED
        server.start()
        # It lacks what a task needs: broken.
        assert _wait(route, request, lambda found: found["status"] == "Failed") == found | {
            "status": "Failed"
        }
        (task,) = server.tasks()
        assert (task["number"], task["status"]) == (found["task_id"], "broken")
        assert task["user"] == TASK["userName"]  # not the account of iDDS
        server.write_token("Some Body", -60)
        with pytest.raises(RequestError, match="Token authentication failed") as raised:
            route("find", [NAME])
        assert raised.value.code == NOT_ANSWERED
        route.close()
    finally:
        server.remove()
