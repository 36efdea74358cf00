"""Faults of the PanDA server of the tests, and the environment of its payloads."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.panda.client import Client
from tests.servers.panda.fixture import can_isolate
from tests.servers.panda.server import PandaServer
from tests.unit.backends.panda.panda_grid import Grid, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["closed", "status", "garbage", "refuse"])
def test_all_faults_of_requests_look_alike_to_the_client(grid: Grid, kind: str) -> None:
    task = grid.submit("a")
    grid.wait(task)
    grid.server.fault(kind, "get_job_ids", skip=1, times=1)
    assert grid.client("getPandaIDsWithTaskID", task)[0] == 0
    if kind == "garbage":  # the client does not catch invalid JSON
        with pytest.raises(RuntimeError, match="JSONDecodeError"):
            grid.client("getPandaIDsWithTaskID", task)
    else:
        assert grid.client("getPandaIDsWithTaskID", task) == (255, None)
    assert grid.client("getPandaIDsWithTaskID", task)[0] == 0


def test_latency_delays_every_request(grid: Grid) -> None:
    grid.server.forget_requests()
    grid.server.latency(0.3)
    begun = time.monotonic()
    grid.client("getTaskStatus", 1)
    assert time.monotonic() - begun > 0.3
    grid.server.latency(0)
    grid.server.fault("hang", "get_status", seconds=0.5)
    begun = time.monotonic()
    assert grid.client("getTaskStatus", 1) == (255, None)
    assert time.monotonic() - begun > 0.5
    seen = grid.server.requests()
    assert seen.of("task/get_status") == seen.total == 2
    grid.put_sandbox()
    assert grid.server.requests().received["/api/v1/file_server/upload_cache_file"] > 200


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_killed_server_comes_back_with_its_state(grid: Grid, end: str) -> None:
    task = grid.submit("sleep", "a")
    grid.running("sleep")
    until(lambda: grid.files(task)["000001:a"] == "finished")
    ids = sorted(grid.client("getPandaIDsWithTaskID", task)[1])
    late = grid.submit("late")
    getattr(grid.server, end)()
    assert grid.client("hello")[0] == 255
    assert grid.server.status()["payloads"] >= 1
    grid.server.start()
    assert grid.status(task) == (0, "running")
    assert sorted(grid.client("getPandaIDsWithTaskID", task)[1]) == ids
    assert grid.wait(late) == "done"
    assert grid.submit("new") > late
    grid.client("killTask", task)
    assert grid.wait(task) == "aborted"
    assert (grid.runs("sleep"), grid.runs("a"), grid.runs("late")) == (1, 1, 1)


def test_a_payload_that_ends_without_the_server_is_found(grid: Grid) -> None:
    task = grid.submit("a", "fail")
    until(lambda: grid.runs("a") and grid.runs("fail"))
    grid.server.kill()
    time.sleep(0.5)
    grid.server.start()
    assert grid.wait(task) == "finished"
    assert (grid.runs("a"), grid.runs("fail")) == (1, 1)


def test_a_site_fails_jobs_on_demand(grid: Grid) -> None:
    grid.server.spoil_site("SITE_B", "pilot_error", times=1, code=1099, text="no stage-in")
    task = grid.submit("a", "b", site="SITE_B")
    assert grid.wait(task) == "finished"
    (job,) = grid.bad_jobs(task)
    assert (job["pilotErrorCode"], job["pilotErrorDiag"]) == (1099, "no stage-in")
    assert job["computingSite"] == "SITE_B"
    assert {run["site"] for run in grid.server.payload_runs() if run["task"] == task} == {"SITE_B"}


def test_a_lost_job_fails_though_its_payload_may_go_on(grid: Grid) -> None:
    grid.server.spoil_site("SITE_A", "lost_heartbeat", times=1, payload=True)
    task = grid.submit("a")
    assert grid.wait(task) == "failed"
    (job,) = grid.bad_jobs(task)
    assert job["jobDispatcherErrorCode"] == 100
    assert job["jobDispatcherErrorDiag"].startswith("lost heartbeat : 20")
    assert grid.runs("a") == 1


def test_a_worker_node_goes_down(grid: Grid) -> None:
    task = grid.submit("sleep")
    grid.running("sleep")
    (number,) = grid.client("getPandaIDsWithTaskID", task)[1]
    grid.server.vanish(number)
    assert grid.wait(task) == "failed"
    assert grid.bad_jobs(task)[0]["jobDispatcherErrorCode"] == 100


def test_a_closed_site_starts_nothing_and_slots_are_kept(grid: Grid) -> None:
    grid.server.spoil_site("SITE_A", "closed")
    task = grid.submit("a")
    grid.wait(task, "running")
    time.sleep(0.3)
    assert grid.runs("a") == 0
    grid.server.mend_site("SITE_A")
    assert grid.wait(task) == "done"
    wide = grid.submit("sleep1", "sleep2", coreCount=3)
    until(lambda: grid.runs("sleep1") + grid.runs("sleep2"))
    time.sleep(0.5)
    assert grid.runs("sleep1") + grid.runs("sleep2") == 1
    grid.client("killTask", wide)
    assert grid.wait(wide) == "aborted"
    wider = grid.submit("a", coreCount=5)
    assert grid.wait(wider, "pending")


@pytest.mark.parametrize(("damage", "code"), [("lost", "146"), ("broken", "143")])
def test_a_sandbox_is_missing_or_damaged(grid: Grid, damage: str, code: str) -> None:
    if damage == "lost":
        grid.server.lose_cached(grid.sandbox)
    else:
        (grid.server.settings.cache / grid.sandbox).write_bytes(b"no tarball")
    task = grid.submit("a")
    assert grid.wait(task) == "failed"
    assert grid.bad_jobs(task)[0]["transExitCode"] == code
    assert grid.runs("a") == 0


def test_the_environment_of_a_payload(grid: Grid) -> None:
    secret = base64.b64encode(b"from a file").decode()
    assert grid.client("set_user_secret", "TOKEN", "from a variable") == (0, (True, None))
    assert grid.client("set_user_secret", "___file___:k", secret) == (0, (True, None))
    owned = {"TOKEN": "from a variable", "___file___:k": secret}
    assert grid.client("get_user_secrets") == (0, (True, owned))
    task = grid.submit("show", useSecrets=True)
    assert grid.wait(task) == "done"
    (job,) = (run for run in grid.server.payload_runs() if run["task"] == task)
    seen = dict(line.split("=", 1) for line in (grid.ran / "env").read_text().splitlines())
    assert (seen["PandaID"], seen["PanDA_TaskID"]) == (str(job["number"]), str(task))
    assert seen["HOME"] == str(grid.server.pilot(job) / "home")
    assert seen["PATH"].startswith(f".:{grid.server.settings.worker_path}:")
    assert seen["TOKEN"] == "from a variable"
    assert "OIDC_AUTH_TOKEN_FILE" not in seen
    assert (grid.ran / "k").read_text() == "from a file"
    assert "panda_secrets.json" in (grid.ran / "ls").read_text()
    # None of these files stays at the site.
    left = {entry.name for entry in grid.server.pilot(job).iterdir()}
    assert left == {"home", "pilot.json", "pilot.log", "payload.stdout", "result.json"}
    assert grid.client("set_user_secret", None, None) == (0, (True, None))
    assert grid.client("get_user_secrets") == (0, (True, {}))
    plain = grid.submit("show")
    assert grid.wait(plain) == "done"
    assert "TOKEN=" not in (grid.ran / "env").read_text()


@pytest.mark.skipif(not can_isolate(), reason="mounts of one's own take root")
def test_a_folder_is_hidden_from_payloads(grid: Grid, tmp_path: Path) -> None:
    hidden = grid.folder / "hidden"
    hidden.mkdir()
    (hidden / "seen").touch()
    for within, expected in ((True, ""), (False, "seen\n")):
        with grid.server.hidden(*([hidden] if within else [])) as whether:
            assert whether
            assert grid.wait(grid.submit("show")) == "done"
        assert (grid.ran / "hidden").read_text() == expected


def test_the_relay_accepts_only_compressed_commands(
    tmp_path: Path, clients: Callable[..., Client]
) -> None:
    server = PandaServer.create(
        tmp_path / "server", idds="tests.unit.backends.panda.panda_grid:Echo"
    )
    server.start()
    try:
        client = clients(server.environment())
        call = "call_idds_command"
        answer = client(call, "ping", [1], {"a": 2}, compress=True, manager=True)
        assert answer == (0, [True, ["Alice Test", "ping", "[1]", {"a": 2}, True]])
        code, text = client(call, "ping", [1])
        assert code == 255
        assert "missing 1 required positional argument: 'command_name'" in text
    finally:
        server.remove()


def test_a_token_is_refreshed_and_the_device_flow_waits(
    grid: Grid, clients: Callable[..., Client], tmp_path: Path
) -> None:
    environment = grid.server.environment()
    del environment["OIDC_AUTH_TOKEN_FILE"]
    environment["PANDA_CONFIG_ROOT"] = str(tmp_path / "config")
    (tmp_path / "config").mkdir()
    stored = tmp_path / "config" / ".token"
    renew = grid.server.refresh_token("Alice Test")
    old = grid.server.token(seconds=30)
    stored.write_text(json.dumps({"id_token": old, "refresh_token": renew}))
    client = clients(environment)
    assert client("getPandaIDsWithTaskID", 1) == (0, [])
    renewed = json.loads(stored.read_text())
    assert renewed["id_token"] != old
    assert client("get_user_name_from_token")[0] == "Alice Test"
    # A refresh token is valid once; then the client asks a person, and nobody answers.
    stored.write_text(json.dumps({"id_token": old, "refresh_token": renew}))
    with pytest.raises(RuntimeError, match="EOFError"):
        client("getPandaIDsWithTaskID", 1)


def test_the_command_line_brings_a_server_up_and_down(tmp_path: Path) -> None:
    def run(command: str, *more: str) -> subprocess.CompletedProcess[str]:
        module = [sys.executable, "-m", "tests.servers.panda", command]
        folder = ["--dir", str(tmp_path / "server"), *more]
        root = Path(__file__).parents[3]
        return subprocess.run(
            [*module, *folder], cwd=root, capture_output=True, text=True, check=False
        )

    assert "No server in" in run("status").stderr
    try:
        url = run("up", "--site", "ONLY").stdout.strip()
        lines = run("env", "--user", "Bob Other").stdout
        assert f"export PANDA_URL_SSL={url}/server/panda\n" in lines
        code = "from pandaclient import Client; print(Client.hello(), Client.getTaskStatus(1))"
        command = f"{lines}\n{sys.executable} -c '{code}'"
        said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        assert "(0, '') (255, None)" in said.stdout
        assert run("status").stdout.split() == ["server", "1", "payloads", "not", "running"]
        run("down")
        assert run("status").stdout.split()[1:3] == ["not", "running"]
        assert run("up").stdout.strip() == url
    finally:
        run("remove")
    assert not (tmp_path / "server").exists()
