"""The PanDA server of the tests answers the real panda-client as a real server does.

The other tests of this server are slow.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.servers.panda.tokens import new_key
from tests.unit.backends.panda.panda_grid import Grid


def test_a_task_is_unknown_then_runs_and_is_done(grid: Grid) -> None:
    with grid.server.paused():
        task = grid.submit("a", "b", "c")
        # A task that JEDI has not registered yet has no owner, and each request for it fails.
        assert grid.status(task) == (255, None)
        assert grid.client("get_files_in_datasets", task) == (255, None)
        assert grid.client("killTask", task)[1] == (
            False,
            "not the task owner or no production role",
        )
    assert grid.wait(task) == "done"
    expected = {"000000:a": "finished", "000001:b": "finished", "000002:c": "finished"}
    assert grid.files(task) == expected
    assert [grid.runs(word) for word in "abc"] == [1, 1, 1]
    code, details = grid.client("getJediTaskDetails", {"jediTaskID": task}, False, True)
    assert code == 0
    assert (details["status"], details["statistics"]) == ("done", "finished*3")
    assert sorted(grid.client("getPandaIDsWithTaskID", task)[1]) == sorted(details["PandaID"])


def test_partial_success_is_finished_and_failed_inputs_are_ready(grid: Grid) -> None:
    task = grid.submit("good", "fail")
    assert grid.wait(task) == "finished"
    assert grid.files(task) == {"000000:good": "finished", "000001:fail": "ready"}
    (job,) = grid.bad_jobs(task)
    assert (job["jobStatus"], job["transExitCode"], job["pilotErrorCode"]) == ("failed", "3", 1305)
    assert job["computingSite"] == "SITE_A"
    assert job["extendedProdSourceLabel"] == "user_normal"
    assert [file["lfn"] for file in job["Files"]] == ["000001:fail"]


def test_without_a_name_nothing_is_registered(grid: Grid) -> None:
    answer = grid.client("insertTaskParams", grid.parameters("a", taskName=...))
    assert answer == (0, (4, "failed to register task"))


def test_a_killed_task_is_aborted_and_its_payloads_end(grid: Grid) -> None:
    task = grid.submit("sleep1", "sleep2")
    grid.running("sleep1")
    grid.running("sleep2")
    assert grid.client("killTask", task) == (0, (True, 0))
    assert grid.wait(task) == "aborted"
    assert {job["jobStatus"] for job in grid.bad_jobs(task)} == {"cancelled"}
    assert {job["taskBufferErrorCode"] for job in grid.bad_jobs(task)} == {100}
    for job in grid.server.jobs():
        if job["task"] == task:
            assert not Path(f"/proc/{job['pid']}/cwd").exists()
    code, (good, message) = grid.client("killTask", task)
    assert (code, good) == (0, False)
    assert "not accepted if the task is in aborted status" in message


def test_invalid_requests_have_the_same_answer(grid: Grid) -> None:
    assert grid.client("getFullJobStatus", ["1"]) == (255, None)
    assert grid.client("getFullJobStatus", [1]) == (0, [None])
    assert grid.client("getTaskStatus", "none") == (255, None)
    assert grid.client("getPandaIDsWithTaskID", 1) == (0, [])
    assert grid.client("getTaskParamsMap", 1) == (255, None)
    assert grid.client("get_job_descriptions", 1) == (0, [])
    assert grid.client("get_task_details_json", 1)[1][0] is False


def test_the_cache_has_limits_and_overwrites_nothing(grid: Grid) -> None:
    client, cache = grid.client, grid.server.settings.cache
    assert client("putFile", grid.sandbox) == (0, "ERROR: cannot overwrite file")
    large = grid.client.folder / f"sources.{uuid.uuid4().hex}.tar"
    large.write_bytes(b"x" * (11 << 20))
    # The server does not recognise an absolute path as a sandbox.
    code, message = client("putFile", str(large))
    assert code == 0
    assert message.startswith("ERROR: upload failure. Exceeded size limit 11 MB > 10 MB.")
    assert client("putFile", large.name) == (0, "True")
    assert (cache / large.name).stat().st_size == 11 << 20
    assert client("getFile", grid.sandbox, "copy") == (0, True)
    assert (grid.client.folder / "copy").read_bytes() == (
        grid.client.folder / grid.sandbox
    ).read_bytes()
    assert client("getFile", "nothing", "copy") == (404, "not found")
    code, message = client("putFile", grid.sandbox, reuseSandbox=True)
    assert (code, message) == (0, f"NewFileName:{grid.sandbox}")


def test_hello_tells_an_outage_from_a_bad_token(grid: Grid) -> None:
    assert grid.client("hello") == (0, "")
    grid.server.fault("status", "is_alive", status=503)
    assert grid.client("hello") == (255, "Communication issue: Service Unavailable")
    grid.server.write_token(seconds=-60)
    code, message = grid.client("hello")
    assert code == 255
    assert message == (
        "Communication issue: ERROR : Token authentication failed. "
        "Invalid token. Signature has expired"
    )
    assert grid.client("getTaskStatus", 1) == (255, None)
    grid.server.write_token()
    assert grid.client("hello") == (0, "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"audience": "another"}, "cannot extract client_id from token"),
        ({"issuer": "http://elsewhere"}, "failed to decode: Invalid issuer"),
        ({"key": new_key()}, "Signature verification failed"),
        ({"groups": ["othervo"]}, "Not a member of the testvo group"),
    ],
)
def test_tokens_are_checked(grid: Grid, wrong: dict[str, Any], words: str) -> None:
    token = grid.server.issuer.issue("Alice Test", **wrong)
    headers = {"Authorization": f"Bearer {token}", "Origin": "testvo"}
    url = f"{grid.server.url}/api/v1/system/is_alive"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, headers=headers))  # noqa: S310
    assert caught.value.code == 403
    text = caught.value.read().decode()
    assert text.startswith("ERROR : Token authentication failed. ")
    assert words in text


def test_few_requests_work_without_a_token(grid: Grid) -> None:
    def ask(path: str) -> Any:
        with urllib.request.urlopen(grid.server.url + path) as answer:  # noqa: S310
            return answer.read()

    assert b"'success': True" in ask("/api/v1/system/is_alive")
    assert b"SSL secure connection is required" in ask("/api/v1/task/get_job_ids?task_id=1")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask("/api/v1/task/no_such_method")
    # The cache is open to everybody.
    assert ask(f"/cache/{grid.sandbox}")


def test_an_answer_is_lost_after_the_task_was_registered(grid: Grid) -> None:
    parameters = grid.parameters("a")
    grid.server.fault("lost", "task/submit")
    assert grid.client("insertTaskParams", parameters)[0] == 255
    code, (inner, message) = grid.client("insertTaskParams", parameters)
    assert (code, inner) == (0, 1)
    assert "is already queued" in message
    grid.server.fault("closed", "task/submit")
    other = grid.parameters("b")
    assert grid.client("insertTaskParams", other)[0] == 255
    assert grid.submit_these(other)


def test_a_relay_without_idds_fails_inside(grid: Grid) -> None:
    code, (good, message) = grid.client("call_idds_command", "ping", compress=True)
    assert (code, good) == (0, False)
    assert "failed to execute command" in message


def test_the_device_flow_ends_when_the_user_agrees(grid: Grid) -> None:
    def post(path: str, **fields: str) -> tuple[int, Any]:
        data = urllib.parse.urlencode(fields).encode()
        try:
            with urllib.request.urlopen(f"{grid.server.url}/oidc/{path}", data) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    asked = post("device", client_id="panda-test-client")[1]
    given = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": asked["device_code"],
    }
    assert post("token", **given) == (400, {"error": "authorization_pending"})
    grid.server.oidc(denied=True)
    assert post("token", **given) == (400, {"error": "access_denied"})
    grid.server.oidc(denied=False, approved="Bob Other")
    status, tokens = post("token", **given)
    assert status == 200
    assert grid.server.issuer.caller(tokens["id_token"], "testvo").name == "Bob Other"
    assert post("token", **given)[0] == 400
