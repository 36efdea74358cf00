"""Tasks of the PanDA server of the tests behave as on a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.panda.client import Client
from tests.servers.panda.server import PandaServer
from tests.unit.backends.panda.panda_grid import Grid, until

pytestmark = pytest.mark.slow


def test_ids_have_no_order(grid: Grid) -> None:
    words = [f"w{number}" for number in range(12)]
    task = grid.submit(*words, maxAttempt=1)
    until(lambda: len(grid.client("getPandaIDsWithTaskID", task)[1]) == 12)
    ids = grid.client("getPandaIDsWithTaskID", task)[1]
    jobs = grid.client("getFullJobStatus", ids)[1]
    by_number = [job["jobParameters"] for job in sorted(jobs, key=lambda job: job["PandaID"])]
    assert by_number != sorted(by_number, key=lambda line: int(line.rpartition("w")[2][:-1]))
    assert [job["PandaID"] for job in jobs] == ids
    orders = {tuple(grid.client("getPandaIDsWithTaskID", task)[1]) for _ in range(5)}
    assert len(orders) > 1


def test_no_success_is_failed(grid: Grid) -> None:
    task = grid.submit("fail")
    assert grid.wait(task) == "failed"
    code, (good, told) = grid.client("get_task_details_json", task)
    assert (code, good) == (0, True)
    assert told["errorDialog"] == "failed since no file was successfully processed"
    assert (told["nFiles"], told["nFilesFailed"]) == (1, 1)


def test_each_payload_has_its_attempts_under_new_ids(grid: Grid) -> None:
    task = grid.submit("once", "fail", maxAttempt=2)
    assert grid.wait(task) == "finished"
    assert (grid.runs("once"), grid.runs("fail")) == (2, 2)
    ids = grid.client("getPandaIDsWithTaskID", task)[1]
    assert len(set(ids)) == 4
    jobs = grid.client("getFullJobStatus", ids)[1]
    assert sorted(job["attemptNr"] for job in jobs) == [0, 0, 1, 1]


def test_retry_grants_five_attempts_to_what_failed(grid: Grid) -> None:
    task = grid.submit("good", "fail")
    assert grid.wait(task) == "finished"
    code, (inner, message) = grid.client("retryTask", task)
    assert (code, inner) == (0, 0)
    assert "is registered" in message
    assert grid.wait(task, "toretry", "ready", "running")
    assert grid.wait(task) == "finished"
    assert (grid.runs("good"), grid.runs("fail")) == (1, 6)


def test_scouts_run_first_and_a_task_whose_scouts_fail_is_broken(grid: Grid) -> None:
    words = ["sleep0", *(f"w{number}" for number in range(11))]
    task = grid.submit(*words, skipScout=...)
    until(lambda: grid.runs("w8"))
    assert grid.status(task) == (0, "scouting")
    until(lambda: list(grid.files(task).values()).count("finished") == 9)
    assert (grid.runs("w9"), grid.runs("w10")) == (0, 0)
    (number,) = (job["number"] for job in grid.server.jobs() if job["inputs"] == ["sleep0"])
    assert grid.client("killJobs", [number]) == (0, [True])
    until(lambda: grid.runs("w9") and grid.runs("w10"))
    assert grid.wait(task) == "finished"
    bad = grid.submit("fail", skipScout=...)
    assert grid.wait(bad) == "broken"
    told = grid.client("get_task_details_json", bad)[1][1]
    assert told["errorDialog"] == "no scout jobs succeeded"


@pytest.mark.parametrize("name", ["architecture", "transUses", "processingType"])
def test_a_missing_parameter_breaks_the_task(grid: Grid, name: str) -> None:
    task = grid.submit("a", **{name: ...})
    assert grid.wait(task) == "broken"
    assert name in grid.client("get_task_details_json", task)[1][1]["errorDialog"]


def test_an_unknown_site_leaves_the_task_pending(grid: Grid) -> None:
    task = grid.submit("a", site="NOWHERE")
    assert grid.wait(task, "pending")
    told = grid.client("get_task_details_json", task)[1][1]
    assert told["errorDialog"] == "unknown site=NOWHERE"
    grid.client("killTask", task)
    assert grid.wait(task) == "aborted"


def test_a_site_may_be_a_pattern(grid: Grid) -> None:
    task = grid.submit("a", site="^(?!(SITE_A)$)", excludedSite=["SITE_B"])
    assert grid.wait(task) == "done"
    (number,) = grid.client("getPandaIDsWithTaskID", task)[1]
    assert grid.client("getJobStatus", [number])[1][0]["computingSite"] == "SITE_B"
    assert grid.wait(grid.submit("a", site="SITE_A,SITE_B"), "pending")


def test_more_files_than_inputs_leave_the_task_pending(grid: Grid) -> None:
    task = grid.submit("a", nFiles=2)
    assert grid.wait(task, "pending")
    assert grid.client("get_files_in_datasets", task)[1][0]["files"] == []


def test_a_name_cannot_be_used_twice(grid: Grid) -> None:
    parameters = grid.parameters("sleep")
    task = grid.submit_these(parameters)
    code, (inner, message) = grid.client("insertTaskParams", parameters)
    assert (code, inner) == (0, 1)
    assert f"jediTaskID={task} is already queued" in message
    grid.running("sleep")
    code, (inner, message) = grid.client("insertTaskParams", parameters)
    assert (code, inner) == (0, 2)
    assert f"jediTaskID={task} is in the running state" in message
    grid.client("killTask", task)
    assert grid.wait(task) == "aborted"


def test_a_finished_name_runs_its_old_payloads_again(grid: Grid) -> None:
    parameters = grid.parameters("a")
    task = grid.submit_these(parameters)
    assert grid.wait(task) == "done"
    code, (inner, message) = grid.client("insertTaskParams", parameters | {"pfnList": ["b"]})
    assert (code, inner) == (0, 0)
    assert message.startswith(f"reactivation accepted. jediTaskID={task} ")
    assert "new jediTaskID" not in message
    until(lambda: grid.runs("a") == 2)
    assert grid.wait(task) == "done"
    assert grid.runs("b") == 0


def test_too_many_active_tasks_are_refused(tmp_path: Path, clients: Callable[..., Client]) -> None:
    server = PandaServer.create(tmp_path / "server", max_active_tasks=0)
    server.start()
    work = tmp_path / "work"
    work.mkdir()
    grid = Grid(server, clients(server.environment()), work)
    try:
        grid.wait(grid.submit("sleep"), "running")
        code, (inner, message) = grid.client("insertTaskParams", grid.parameters("a"))
        assert (code, inner) == (0, 10)
        assert message == "Too many active tasks for Alice Test 1>0"
    finally:
        server.remove()


def test_a_single_job_is_killed(grid: Grid) -> None:
    task = grid.submit("sleep", "good")
    grid.running("sleep")
    until(lambda: grid.files(task)["000001:good"] == "finished")
    jobs = [job for job in grid.server.jobs() if job["task"] == task]
    number = next(job["number"] for job in jobs if job["inputs"] == ["sleep"])
    assert grid.client("killJobs", [number, 4]) == (0, [True, False])
    assert grid.wait(task) == "finished"
    (job,) = grid.bad_jobs(task)
    assert (job["PandaID"], job["jobStatus"]) == (number, "cancelled")


def test_finishing_a_task_keeps_its_finished_inputs(grid: Grid) -> None:
    task = grid.submit("sleep", "good", maxAttempt=3)
    until(lambda: grid.status(task)[0] == 0 and grid.files(task).get("000001:good") == "finished")
    grid.running("sleep")
    assert grid.client("finishTask", task) == (0, (True, 0))
    assert grid.wait(task) == "finished"


def test_pausing_needs_the_production_role(grid: Grid, clients: Callable[..., Client]) -> None:
    task = grid.submit("sleep")
    grid.running("sleep")
    refused = (0, (False, "production or pilot role required"))
    assert grid.client("pauseTask", task) == refused
    assert grid.client("increase_attempt_nr", task) == refused
    manager = clients(grid.server.environment(production=True))
    assert manager("pauseTask", task) == (0, (True, 0))
    assert grid.wait(task, "paused")
    assert manager("resumeTask", task) == (0, (True, 0))
    assert grid.wait(task, "running")
    assert manager("increase_attempt_nr", task) == (0, (True, 0))
    grid.client("killTask", task)
    assert grid.wait(task) == "aborted"
    attributes = manager("get_cert_attributes")
    assert attributes == (0, {"GRST_CRED_AUTH_TOKEN_0": "VOMS /testvo/Role=production"})


def test_a_done_task_runs_again_on_demand(grid: Grid, clients: Callable[..., Client]) -> None:
    task = grid.submit("a")
    assert grid.wait(task) == "done"
    assert grid.client("reload_input", task) == (0, (True, 0))
    until(lambda: grid.runs("a") == 2)
    assert grid.wait(task) == "done"
    assert grid.client("reactivateTask", task)[1] == (False, "production or pilot role required")
    manager = clients(grid.server.environment(production=True))
    assert manager("reactivateTask", task) == (0, (True, 0))
    until(lambda: grid.runs("a") == 3)


def test_invalid_parameters_break_only_their_task(grid: Grid) -> None:
    bad = grid.submit("a", nFiles="many")
    worse = grid.submit("a", jobParameters=[{"type": "constant", "value": "'"}])
    assert grid.wait(bad) == "broken"
    assert grid.wait(worse) == "failed"
    assert grid.bad_jobs(worse)[0]["pilotErrorCode"] == 1110
    assert grid.wait(grid.submit("a")) == "done"


def test_an_exhausted_task_waits_for_a_command(grid: Grid) -> None:
    task = grid.submit("fail", "good", useExhausted=True)
    assert grid.wait(task, "exhausted")
    code, (inner, message) = grid.client("retryTask", task)
    assert (code, inner) == (0, 4)
    assert "production role is missing" in message
    other = grid.submit("sleep")
    grid.wait(other, "running")
    grid.server.set_task(other, "exhausted", "too much memory")
    assert grid.status(other) == (0, "exhausted")
    grid.client("killTask", other)
    assert grid.wait(other) == "aborted"


def test_others_cannot_kill(grid: Grid, clients: Callable[..., Client]) -> None:
    task = grid.submit("sleep")
    grid.running("sleep")
    bob = clients(grid.server.environment("Bob Other"))
    assert bob("killTask", task) == (0, (False, "not the task owner or no production role"))
    assert bob("retryTask", task) == (0, (None, "not the task owner or no production role"))
    ids = grid.client("getPandaIDsWithTaskID", task)[1]
    assert bob("killJobs", ids) == (0, [False])
    assert bob("get_tasks_detailed_info_since") == (0, [])
    (own,) = grid.client("get_tasks_detailed_info_since", None, {"jediTaskID": str(task)})[1]
    assert own["userName"] == "Alice Test"
    grid.client("killTask", task)


def test_the_server_decides_on_user_type_and_priority(grid: Grid) -> None:
    task = grid.submit("a", userName="Somebody", taskPriority=9000, taskType="prod")
    grid.wait(task)
    code, parameters = grid.client("getTaskParamsMap", task)
    assert code == 0
    assert parameters["userName"] == "Alice Test"
    assert (parameters["taskType"], parameters["taskPriority"]) == ("anal", 1000)
