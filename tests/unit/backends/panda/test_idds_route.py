"""Requests to iDDS: the meaning of its answers, with a stand-in for its client."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.panda import idds_route
from snakemake_executor_plugin_grid.backends.panda.idds_route import (
    NOT_ANSWERED,
    REFUSED,
    RequestError,
)

from .idds_bench import NAME


class Status(enum.Enum):
    """Like the states of idds."""

    Transforming = 2


class FakeApi:
    """Stands in for the object that `get_api` returns."""

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


def test_message_is_cut_after_1000_characters(api: FakeApi) -> None:
    api.answers = [(0, [False, "x" * 100_000])]
    with pytest.raises(RequestError, match=r"^x{1000}$"):
        idds_route.find([NAME])


def test_find_takes_only_the_exact_name(api: FakeApi) -> None:
    api.answers = [(0, [True, {NAME: 7, NAME.replace(".", "_"): 8}]), (0, [True, {}])]
    assert idds_route.find([NAME, "other"]) == {NAME: "7"}
    assert [arguments for _, _, arguments in api.calls] == [{"name": NAME}, {"name": "other"}]


def test_commands_are_compressed_and_sent_to_the_right_client(api: FakeApi) -> None:
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


def test_manager_is_asked_if_the_server_has_no_proxy(api: FakeApi) -> None:
    api.answers = [
        (0, [False, "failed to execute command with Cannot find a valid x509 proxy."]),
        (0, [True, {NAME: 7}]),
    ]
    assert idds_route.find([NAME]) == {NAME: "7"}
    assert [setup["manager"] for _, setup, _ in api.calls] == [False, True]


def test_task_of_the_newest_processing_counts(api: FakeApi) -> None:
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


def test_abort_continues_after_a_refusal_but_not_without_an_answer(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    done = (0, [True, [[0, {"status": 0, "message": "Command registered successfully"}]]])
    api.answers = [(0, [True, [False, "not yours"]]), done, (255, "timed out")]
    assert idds_route.abort(["1", "2"]) == ["2"]
    assert "request 1: not yours" in capsys.readouterr().out
    with pytest.raises(RequestError, match="timed out"):
        idds_route.abort(["3"])
