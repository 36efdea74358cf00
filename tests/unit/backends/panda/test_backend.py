from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends import delivered
from snakemake_executor_plugin_grid.backends.base import Payload, Submitted
from snakemake_executor_plugin_grid.backends.panda import cancelling
from snakemake_executor_plugin_grid.backends.panda.rse_sites import about_unknown
from snakemake_executor_plugin_grid.backends.panda.task import Options
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.model.state import UNKNOWN, JobState, JobStatus
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import LOG_FILE, REPORT_FILE
from snakemake_executor_plugin_grid.worker.grid_files.records import GridInput
from tests.unit.backends.panda.fake_panda import Bench, name, names

DOWN = TransientError("Connection refused")
SECRET = {"TOKEN": "hush"}


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(cancelling, "CANCEL_LIMIT", 0.1)
    monkeypatch.setattr(delivered, "_REPORT_PAUSES", (0.0, 0.0))
    return Bench(tmp_path, **getattr(request, "param", {}))


idds = pytest.mark.parametrize("bench", [{"idds": True}], indirect=True)


def states(bench: Bench, ids: list[str]) -> dict[str, str]:
    found = bench.call(bench.backend.states(ids))
    return {grid_id: status.state.name for grid_id, status in found.items()}


def test_what_a_job_is_sent_again_as_is_another_job(bench: Bench) -> None:
    (first,) = bench.submitted(1, environment=SECRET)
    again = bench.payload(0, environment=SECRET)
    object.__setattr__(again.spec, "name", f"{name(0)}.1")
    (second,) = bench.submit(again)
    assert second == Submitted(f"2:{name(0)}.1")
    bench.call(bench.backend.discard([first]))
    assert list(bench.store.posted) == [f"{bench.panda.tasks[1].name}.json"]


def test_a_site_is_avoided_only_if_another_is_known(bench: Bench) -> None:
    def site(number: int, avoid: str, **fields: Any) -> object:
        bench.submit(bench.payload(number, avoid=avoid, **fields))
        return bench.panda.tasks[-1].parameters.get("site")

    assert site(1, "SITE_A") is None
    bench.backend.works_at("SITE_A")
    assert site(2, "SITE_A") is None
    assert site(3, "SITE_B") == "^(?!(SITE_B)$)"
    assert site(4, "SITE_B", overrides={"banned_sites": "SITE_A"}) == "^(?!(SITE_A)$)"
    assert site(5, "SITE_A", overrides={"site": "SITE_A,SITE_B"}) == "SITE_B"


@pytest.mark.parametrize(
    "bench", [{"options": Options("v", rse_sites={"DISK-AB": ("A", "B")})}], indirect=True
)
def test_jobs_with_their_inputs_at_the_same_sites_are_one_task(bench: Bench) -> None:
    def payload(number: int, *rses: str, avoid: str = "") -> Payload:
        one = GridInput("x", "rucio://s/x", 1, "", 0, ())
        elements = {"rucio://s/x": rses}
        return bench.payload(number, avoid=avoid, grid_inputs=(one,), grid_elements=elements)

    bench.submit(*(payload(number, "DISK-AB", "TAPE") for number in range(2)), payload(2, "TAPE"))
    found = {
        task.parameters.get("site"): len(task.parameters["pfnList"]) for task in bench.panda.tasks
    }
    assert found == {"^(A|B)$": 2, None: 1}
    assert [text for text in bench.said if "TAPE" in text] == [about_unknown("TAPE")]
    described = json.loads(bench.backend.describe(payload(3, "DISK-AB")))
    assert described["site"] == "^(A|B)$"
    assert bench.backend.may_bundle(bench.payload(5))
    assert not bench.backend.may_bundle(payload(5, "DISK-AB"))  # a bundle has no data
    bench.submit(payload(4, "DISK-AB", avoid="A"))  # no site is known yet
    assert bench.panda.tasks[-1].parameters["site"] == "B"


# Reports and logs


def test_report_and_log_come_from_the_store(bench: Bench, tmp_path: Path) -> None:
    (grid_id,) = bench.submitted(1)
    bench.store.brought_files = {
        (name(0), REPORT_FILE): b"{}",
        (name(0), LOG_FILE): b"said",
    }
    bench.panda.asked.clear()
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert (tmp_path / REPORT_FILE).read_text() == "{}"
    assert (tmp_path / LOG_FILE).read_text() == "said"
    assert not bench.panda.asked


@pytest.mark.parametrize("leaf", [REPORT_FILE, LOG_FILE])
def test_huge_files_are_not_fetched(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf: str
) -> None:
    monkeypatch.setattr(delivered, "MOST_BYTES", 1000)
    monkeypatch.setattr(delivered, "_LARGEST_LOG", 1000)
    (grid_id,) = bench.submitted(1)
    files = {REPORT_FILE: b"{}", LOG_FILE: b"said"} | {leaf: bytes(1001)}
    bench.store.brought_files = {(name(0), leaf): data for leaf, data in files.items()}
    if leaf == REPORT_FILE:
        with pytest.raises(UntrustedError, match="1,001 bytes"):
            bench.call(bench.backend.retrieve(grid_id, tmp_path))
        return
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert (tmp_path / REPORT_FILE).read_text() == "{}"
    assert "not fetched" in (tmp_path / LOG_FILE).read_text()


@pytest.mark.parametrize("bench", [{"monitor": "https://monitor.test/"}], indirect=True)
def test_without_a_report_the_server_tells(bench: Bench, tmp_path: Path) -> None:
    (grid_id,) = bench.submitted(1)
    (task,) = bench.panda.tasks
    task.status, task.dialog = "failed", "too bad"
    number = bench.panda.run(
        task, name(0), "failed", jobDispatcherErrorCode=100, computingSite="SITE_A"
    )
    bench.panda.run(task, "another-0000beef-1", "failed", computingSite="SITE_B")
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert not (tmp_path / REPORT_FILE).exists()
    text = (tmp_path / LOG_FILE).read_text()
    assert text == bench.call(bench.backend.logs(grid_id))
    assert "https://monitor.test/task/1/" in text
    assert "task 1: failed too bad" in text
    assert f"PandaID {number} at SITE_A: failed: " in text
    assert "SITE_B" not in text


def test_of_many_failed_jobs_each_is_described_once(bench: Bench, tmp_path: Path) -> None:
    """The server needs 35 ms for each, and describes all of a task if it is asked for them."""
    ids = bench.submitted(20)
    for number in range(20):
        bench.panda.run(bench.panda.tasks[0], name(number), "failed", computingSite="SITE_A")
    states(bench, ids)
    for number, grid_id in enumerate(ids):
        bench.call(bench.backend.retrieve(grid_id, tmp_path))
        text = (tmp_path / LOG_FILE).read_text()
        assert f"PandaID {101 + number} at SITE_A: failed" in text
    assert bench.panda.counts["failed_jobs"] == 1
    assert [len(asked) for (asked,) in bench.panda.args_of("describe_jobs")] == [1] * 20


def test_a_log_is_no_reason_to_ask_the_server(bench: Bench, tmp_path: Path) -> None:
    (grid_id,) = bench.submitted(1)
    bench.store.brought_files = {(name(0), LOG_FILE): b"said"}
    bench.panda.asked.clear()
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert (tmp_path / LOG_FILE).read_text() == "said"
    assert not bench.panda.asked


@pytest.mark.parametrize("error", [DOWN, PermanentError("no")])
def test_an_account_has_what_is_to_be_had(bench: Bench, error: GridError) -> None:
    (grid_id,) = bench.submitted(1)
    bench.panda.errors = {"details": [error], "failed_jobs": [error]}
    assert bench.call(bench.backend.logs(grid_id)) == f"--- PanDA on job {grid_id}\n"


# iDDS


@idds
def test_requests_become_tasks(bench: Bench) -> None:
    ids = bench.submitted(2)
    assert ids == [f"r7:{name(0)}", f"r7:{name(1)}"]
    assert states(bench, ids) == dict.fromkeys(ids, "QUEUED")
    bench.panda.submit({"taskName": "t", "pfnList": names(0, 1)})
    bench.panda.requests["7"]["task_id"] = 1
    bench.panda.tasks[0].files[name(0)] = "finished"
    assert states(bench, ids) == {ids[0]: "DONE", ids[1]: "QUEUED"}
    assert states(bench, ids[1:]) == {ids[1]: "QUEUED"}
    assert bench.panda.counts["idds_tasks"] == 2  # the task of a request stays the same


@idds
@pytest.mark.parametrize("state", ["Failed", "Cancelled", "Expired", "Suspended"])
def test_a_request_that_ends_without_a_task_fails_its_jobs(bench: Bench, state: str) -> None:
    ids = bench.submitted(1)
    bench.panda.requests["7"] |= {"status": state, "errors": "no quota"}
    (status,) = bench.call(bench.backend.states(ids)).values()
    why = f"iDDS request 7 is {state}: no quota"
    # The others are what somebody has asked for.
    assert status == JobStatus(JobState.FAILED, why, infrastructure=state == "Failed")


@idds
def test_a_request_that_idds_does_not_know_is_unknown(bench: Bench, tmp_path: Path) -> None:
    ids = bench.submitted(1, environment=SECRET)
    bench.panda.requests.clear()
    assert states(bench, ids) == {}
    assert bench.call(bench.backend.cancel(ids)) == set(ids)
    bench.call(bench.backend.retrieve(ids[0], tmp_path))
    assert "has no task yet" in (tmp_path / LOG_FILE).read_text()
    bench.call(bench.backend.discard(ids))
    assert bench.store.posted == {}


@idds
def test_a_request_is_found_by_its_name(bench: Bench) -> None:
    bench.panda.lost["idds_submit"] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0))
    assert bench.call(bench.backend.adopt(names(0))) == {name(0): f"r7:{name(0)}"}
    assert bench.submit(bench.payload(0)) == [Submitted(f"r7:{name(0)}")]
    assert bench.panda.counts["idds_submit"] == 1


# The rest


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import base64

    def make(seconds: float, **more: Any) -> None:
        claims = json.dumps({"exp": time.time() + seconds, "name": "Jane"}).encode()
        middle = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        (tmp_path / ".token").write_text(json.dumps({"id_token": f"e30.{middle}.x"} | more))

    for variable in ("PANDA_AUTH_ID_TOKEN", "OIDC_AUTH_TOKEN_FILE", "OIDC_AUTH_ID_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PANDA_AUTH", "oidc")
    monkeypatch.setenv("PANDA_AUTH_VO", "testvo")
    monkeypatch.setenv("PANDA_CONFIG_ROOT", str(tmp_path))
    return make


def test_credentials_are_looked_at_before_the_first_job(bench: Bench, token: Any) -> None:
    token(7200)
    bench.call(bench.backend.check())
    assert list(bench.panda.counts) == ["hello", "tasks_named"]
    assert bench.call(bench.backend.check_credentials()) == ""
    token(600)
    with pytest.raises(PermanentError, match="expires in"):
        bench.call(bench.backend.check())
    assert "expires in" in bench.call(bench.backend.check_credentials())
    token(-1)
    with pytest.raises(CredentialsError, match="snakemake-grid auth"):
        bench.call(bench.backend.check())
    assert "refresh" not in bench.panda.counts


def test_a_token_that_can_be_refreshed_is(bench: Bench, token: Any) -> None:
    token(-1, refresh_token="r")
    bench.call(bench.backend.check())
    assert bench.call(bench.backend.check_credentials()) == ""
    assert bench.panda.counts["refresh"] == 1


@pytest.mark.parametrize(
    ("reason", "infrastructure", "blamed"),
    [
        ("", True, True),
        ("", False, False),
        (reports.PAYLOAD_FAILED, True, False),
        (reports.OUTPUT_TOO_LARGE, True, False),
        (reports.INPUT_DAMAGED, False, True),
        (reports.OUTPUT_NOT_STORED, False, True),
    ],
)
def test_the_report_says_who_has_failed_before_the_system_does(
    bench: Bench, reason: str, infrastructure: bool, blamed: bool
) -> None:
    status = JobStatus(JobState.FAILED, infrastructure=infrastructure)
    assert bench.backend.blames_site(status, reason) is blamed


def test_a_job_is_described_without_a_server(bench: Bench) -> None:
    parameters = json.loads(bench.backend.describe(bench.payload(3, environment=SECRET)))
    assert parameters["pfnList"] == [name(3)]
    assert "hush" not in json.dumps(parameters)
    assert bench.panda.asked == []


@pytest.mark.parametrize(
    ("bench", "where"),
    [
        ({"options": Options("v", user="me")}, "in tasks named user.me.snakemake.0000beef.*"),
        (
            {"options": Options("v", user="me"), "monitor": "https://m.test"},
            "in tasks named user.me.snakemake.0000beef.*, the first at https://m.test/task/1/",
        ),
    ],
    indirect=["bench"],
)
def test_the_user_is_told_where_to_look(bench: Bench, where: str) -> None:
    (grid_id,) = bench.submitted(1)
    assert bench.backend.monitor_hint(name(0)) == where
    assert bench.backend.monitor_url(grid_id) == where.partition(" at ")[2]
    assert not bench.backend.blames_site(UNKNOWN, "")


def test_states_are_those_of_the_jobs(bench: Bench) -> None:
    ids = [*bench.submitted(2), *bench.submit(bench.payload(7))]
    others = [answer.grid_id for answer in ids if isinstance(answer, Submitted)]
    known = [grid_id for grid_id in ids if isinstance(grid_id, str)]
    bench.panda.tasks[0].files[name(1)] = "finished"
    bench.panda.tasks[1].registered = False
    assert states(bench, [*known, *others]) == {known[0]: "QUEUED", known[1]: "DONE"}


def test_closing_ends_the_client(bench: Bench) -> None:
    bench.call(bench.backend.close())
    assert bench.panda.closed
