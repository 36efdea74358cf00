"""Requests to iDDS with the packages of idds at both ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.idds_route import (
    NOT_ANSWERED,
    REFUSED,
    RequestError,
)
from snakemake_executor_plugin_grid.backends.panda.replies import error_of
from snakemake_executor_plugin_grid.model.errors import PermanentError
from tests.servers.panda.idds import RELAY, IddsService
from tests.servers.panda.server import PandaServer

from .idds_bench import NAME, TASK, Panda, Route, panda, python, route, wait_for_task

__all__ = ["panda", "python", "route"]


def test_request_becomes_a_task(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, NAME)
    assert request.isdigit()
    found = wait_for_task(route, request, lambda found: found["task_id"])
    assert found["status"] == "Transforming"
    assert panda.tasks[found["task_id"]] == TASK
    assert route("find", [NAME, "user.nobody"])[NAME] == request
    panda.states[found["task_id"]] = "finished"
    assert wait_for_task(route, request, lambda found: found["status"] != "Transforming") == {
        "status": "SubFinished",
        "task_id": found["task_id"],
        "errors": "",
    }


def test_many_inputs_and_special_characters_arrive(route: Route, panda: Panda) -> None:
    task = TASK | {
        "pfnList": [f"job-{number:05d}-{'ä' * 20}" for number in range(2000)],
        "jobParameters": [{"type": "constant", "value": "'\"\\ ${IN/L} %{x}\n\t<>&?"}],
        "log": {"dataset": "user.me.log/", "type": "template", "value": "log.tgz"},
    }
    request = route("submit", task, "user.me.many")
    found = wait_for_task(route, request, lambda found: found["task_id"])
    assert panda.tasks[found["task_id"]] == task


def test_request_survives_a_restart_of_idds(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, "user.me.restart")
    task = wait_for_task(route, request, lambda found: found["task_id"])["task_id"]
    assert panda.idds
    panda.idds.close()
    assert route("find", ["user.me.restart"]) == {"user.me.restart": request}
    panda.states[task] = "done"
    assert (
        wait_for_task(route, request, lambda found: found["status"] == "Finished")["task_id"]
        == task
    )


def test_abort_kills_the_task(route: Route, panda: Panda) -> None:
    request = route("submit", TASK, "user.me.abort")
    task = wait_for_task(route, request, lambda found: found["task_id"])["task_id"]
    assert route("abort", [request, "12345"]) == [request]
    assert (
        wait_for_task(route, request, lambda found: found["status"] == "Failed")["task_id"] == task
    )
    assert panda.states[task] == "aborted"


def test_abort_before_there_is_a_task_is_lost(panda: Panda, python: Path, tmp_path: Path) -> None:
    before = panda.idds
    route = Route(python, tmp_path, panda.variables_of("Some Body"))
    try:
        with IddsService(tmp_path, panda.variables_of("the robot"), python, tick=2) as panda.idds:
            request = route("submit", TASK, "user.me.lost")
            assert route("abort", [request]) == [request]
            found = wait_for_task(route, request, lambda found: found["task_id"])
    finally:
        panda.idds = before
        route.close()
    assert found["status"] == "Transforming"
    assert panda.states[found["task_id"]] == "running"


def test_task_refused_by_panda_fails_the_request(
    route: Route, panda: Panda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panda, "refusal", (10, "Too many active tasks for Some Body"))
    request = route("submit", TASK, "user.me.refused")
    found = wait_for_task(route, request, lambda found: found["status"] == "Failed")
    assert found["task_id"] is None


def test_existing_task_is_used_for_a_repeated_name(
    route: Route, panda: Panda, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = 1, "jediTaskID=1000 is already queued for outDS=x. You cannot submit duplicated tasks"
    monkeypatch.setattr(panda, "refusal", refusal)
    panda.states[1000] = "running"
    request = route("submit", TASK, "user.me.repeated")
    assert wait_for_task(route, request, lambda found: found["task_id"])["task_id"] == 1000


def test_requests_of_another_user_cannot_be_aborted(
    route: Route, panda: Panda, python: Path, tmp_path: Path
) -> None:
    request = route("submit", TASK, "user.me.mine")
    other = Route(python, tmp_path, panda.variables_of("Another One"))
    assert other("abort", [request]) == []
    other.close()
    log = (tmp_path / "route.log").read_text()
    assert f"request {request}: User Another One has no permission to update" in log
    assert wait_for_task(route, request, lambda found: found["task_id"])["status"] == "Transforming"


def test_name_that_is_too_long_is_refused_by_idds(route: Route) -> None:
    with pytest.raises(RequestError, match="value too long") as raised:
        route("submit", TASK, "n" * 300)
    assert raised.value.code == REFUSED


def test_user_name_that_is_too_long_is_refused_by_idds(
    panda: Panda, python: Path, tmp_path: Path
) -> None:
    route = Route(python, tmp_path, panda.variables_of("Augusta Ada King, Countess of Lovelace"))
    with pytest.raises(RequestError) as raised:
        route("submit", TASK, NAME)
    route.close()
    error = error_of("idds_submit", raised.value.code, str(raised.value))
    assert isinstance(error, PermanentError)
    assert "--grid-panda-route jedi" in str(error)
    assert "SQL" not in str(error)


def test_task_unknown_to_idds_is_refused(route: Route) -> None:
    with pytest.raises(RequestError, match="idds does not understand the task") as raised:
        route("submit", TASK | {"log": "x"}, "user.me.odd")
    assert raised.value.code == REFUSED


def test_unknown_requests_are_left_out(route: Route) -> None:
    assert route("tasks", ["987654"]) == {}
    assert route("find", ["user.nobody.at.all"]) == {}
    assert route("abort", ["987654"]) == []


def test_unreachable_server_is_not_a_refusal(panda: Panda, python: Path, tmp_path: Path) -> None:
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
        found = wait_for_task(route, request, lambda found: found["task_id"])
        server.kill()
        with pytest.raises(RequestError) as raised:
            route("tasks", [request])
        assert raised.value.code == NOT_ANSWERED
        server.start()
        # The task lacks required fields, so PanDA marks it as broken.
        assert wait_for_task(route, request, lambda found: found["status"] == "Failed") == found | {
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
