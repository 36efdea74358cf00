from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from snakemake_executor_plugin_grid.backends.panda import following as module
from snakemake_executor_plugin_grid.backends.panda.client import Client
from snakemake_executor_plugin_grid.backends.panda.following import Following, Wanted
from snakemake_executor_plugin_grid.backends.panda.job_sample import JobSample
from snakemake_executor_plugin_grid.backends.panda.task_registry import TaskRegistry
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.backends.panda.fake_panda import FakePanda, GridTask

DOWN = TransientError("Connection refused")
LOST = {"jobDispatcherErrorCode": 100, "computingSite": "SITE_A"}  # lost heartbeat
EXIT = {"transExitCode": "3", "pilotErrorCode": 1305, "computingSite": "SITE_A"}


class Bench:
    """Tasks, and what is known of them after each round."""

    def __init__(self, folder: Path) -> None:
        self.panda = FakePanda()
        self.said: list[str] = []
        self.runner = asyncio.Runner()
        client = cast(Client, self.panda)
        self.registry = TaskRegistry(Database(folder / "grid.sqlite"))
        sample = JobSample(client, self.registry)
        self.following = Following(client, sample, self.said.append)

    def task(self, *names: str, status: str = "running") -> GridTask:
        parameters = {"taskName": f"t{len(self.panda.tasks)}", "pfnList": names}
        self.panda.submit(parameters)
        self.panda.tasks[-1].status = status
        return self.panda.tasks[-1]

    def round(self, attempts: int = 1) -> dict[int, dict[str, JobStatus]]:
        wanted = {
            task.number: Wanted(list(task.parameters["pfnList"]), attempts)
            for task in self.panda.tasks
        }
        self.panda.asked.clear()
        return self.runner.run(self.following.states(wanted))

    def states(self, attempts: int = 1) -> dict[str, str]:
        found = self.round(attempts)
        return {name: status.state.name for of in found.values() for name, status in of.items()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.runner.close()


def test_a_round_asks_twice_for_each_task(bench: Bench) -> None:
    for number in range(20):
        task = bench.task(*(f"j{number}-{n}" for n in range(50)))
        task.files = dict.fromkeys(task.files, "running")
    assert set((bench.states()).values()) == {"AT_SITE"}
    assert bench.panda.counts == {"status": 20, "files": 20}


def test_payloads_of_a_task_have_their_own_states(bench: Bench) -> None:
    task = bench.task("a", "b", "c", "d")
    task.files |= {"a": "finished", "b": "running"}
    bench.panda.run(task, "c", "failed", **EXIT)
    assert bench.states() == {"a": "DONE", "b": "AT_SITE", "c": "FAILED", "d": "QUEUED"}
    task.status = "finished"
    task.files["b"] = "finished"
    assert bench.states() == {"a": "DONE", "b": "DONE", "c": "FAILED", "d": "FAILED"}


def test_details_are_asked_for_when_a_payload_is_ready_again(bench: Bench) -> None:
    task = bench.task("a", "b")
    task.files = {"a": "running", "b": "running"}
    assert bench.states() == {"a": "AT_SITE", "b": "AT_SITE"}
    bench.panda.run(task, "a", "failed", **LOST)
    found = (bench.round())[task.number]["a"]
    assert (found.state, found.site, found.infrastructure) == (JobState.FAILED, "SITE_A", True)
    assert bench.panda.counts["failed_jobs"] == 1
    assert (bench.states())["b"] == "AT_SITE"
    assert bench.panda.counts["failed_jobs"] == 0  # it is known


def test_slow_payloads_are_asked_for_now_and_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.task("a")
    counts = []
    for period in (60.0, 60.0, 0.0, 60.0):
        monkeypatch.setattr(module, "_ASK_PERIOD", period)
        assert bench.states() == {"a": "QUEUED"}
        counts.append(bench.panda.counts["failed_jobs"])
    assert counts == [1, 0, 1, 0]


def test_a_new_attempt_is_the_same_job(bench: Bench) -> None:
    task = bench.task("a")
    seen = []
    for status in ("running", "failed", "running", "failed", "running", "failed"):
        bench.panda.run(task, "a", status, **(LOST if status == "failed" else {}))
        seen += [(bench.states(attempts=3))["a"]]
    assert seen == ["AT_SITE", "QUEUED", "AT_SITE", "QUEUED", "AT_SITE", "FAILED"]


def test_of_a_task_that_has_ended_fewer_attempts_tell_as_well(bench: Bench) -> None:
    task = bench.task("a")
    bench.panda.run(task, "a", "failed", **LOST)
    task.status = "failed"
    found = (bench.round(attempts=3))[task.number]["a"]
    assert (found.state, found.infrastructure, found.site) == (JobState.FAILED, True, "SITE_A")


def test_a_task_that_is_not_registered_yet_is_left_out(bench: Bench) -> None:
    bench.task("a").registered = False
    bench.task("b")
    assert bench.states() == {"b": "QUEUED"}


@pytest.mark.parametrize("call", ["status", "files"])
def test_an_outage_changes_no_job(bench: Bench, call: str) -> None:
    for name in "ab":
        bench.task(name).files[name] = "running"
    bench.round()
    bench.panda.errors[call] = [DOWN]
    for task in bench.panda.tasks:
        task.files = dict.fromkeys(task.files, "finished")
    assert sorted((bench.states()).values()) == ["AT_SITE", "DONE"]
    bench.panda.errors[call] = [DOWN, DOWN]
    with pytest.raises(TransientError):
        bench.round()
    assert set((bench.states()).values()) == {"DONE"}


def test_what_was_known_of_all_jobs_outlives_a_question_for_one(bench: Bench) -> None:
    task = bench.task("a", "b")
    task.files = dict.fromkeys("ab", "running")
    bench.task("c")
    bench.round()
    bench.runner.run(bench.following.states({task.number: Wanted(["a"])}))
    bench.panda.errors["status"] = [DOWN]
    assert bench.states() == {"a": "AT_SITE", "b": "AT_SITE", "c": "QUEUED"}


def test_a_task_that_alone_is_not_answered_for_is_told_of_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.task("a"), bench.task("b")
    status = bench.panda.status

    def broken(number: int) -> str:
        if number == first.number:
            raise TransientError("HTTP 500")
        return status(number)

    monkeypatch.setattr(bench.panda, "status", broken)
    bench.round()
    assert bench.said == []
    monkeypatch.setattr(module, "_SILENCE", 0.0)
    bench.round()
    bench.round()
    (said,) = bench.said
    assert f"task {first.number}" in said
    assert "HTTP 500" in said
    assert str(second.number) not in said


def test_tasks_that_a_round_has_no_time_for_come_first_in_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        task = bench.task(f"j{number}")
        task.files = dict.fromkeys(task.files, "running")
    call = bench.panda.call
    answers = itertools.count()

    async def some(name: str, *args: Any, limit: float = 0) -> Any:
        if name == "status" and next(answers) >= 10:
            raise TimeoutError  # the time of the round is over after ten tasks
        return await call(name, *args, limit=limit)

    monkeypatch.setattr(bench.panda, "call", some)
    states = {}
    for count in (10, 20, 30, 40):
        answers = itertools.count()
        states = bench.states()
        assert len(states) == count
    assert set(states.values()) == {"AT_SITE"}
    monkeypatch.setattr(module, "_ROUND", 0.0)
    with pytest.raises(TransientError, match="for all tasks"):
        bench.round()


def test_what_one_task_is_refused_for_leaves_the_others(bench: Bench) -> None:
    bench.task("a")
    bench.task("b")
    bench.round()
    bench.panda.errors["status"] = [PermanentError("is not the task owner")]
    assert len(bench.states()) == 1  # whoever is not named for long is given up


def test_an_expired_token_is_told_of_though_one_call_worked(bench: Bench) -> None:
    bench.task("a")
    bench.task("b")
    bench.panda.errors["files"] = [CredentialsError("token has expired")]
    with pytest.raises(CredentialsError):
        bench.round()


def test_a_failed_job_waits_for_its_reason(bench: Bench) -> None:
    task = bench.task("a")
    other = bench.task("b")
    task.files["a"] = other.files["b"] = "running"
    bench.round()
    bench.panda.run(task, "a", "failed", **LOST)
    task.status = "failed"
    bench.panda.errors["failed_jobs"] = [DOWN]
    assert bench.states() == {"a": "AT_SITE", "b": "AT_SITE"}
    found = (bench.round())[task.number]["a"]
    assert (found.state, found.infrastructure) == (JobState.FAILED, True)


def test_a_reason_is_not_waited_for_without_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DETAILS_TIMEOUT", 0.0)
    bench.panda.run(bench.task("a", status="failed"), "a", "failed")
    bench.panda.errors["failed_jobs"] = [DOWN]
    assert bench.states() == {"a": "FAILED"}


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> GridTask:
    """Return a task whose failed jobs the server describes later than in the same round."""
    monkeypatch.setattr(module, "_DETAILS_WAIT", 0.01)
    bench.panda.seconds_per_job = 0.03
    return bench.task("a")


def test_reasons_that_take_long_are_no_outage(bench: Bench, slow: GridTask) -> None:
    slow.files["a"] = "running"
    assert bench.states() == {"a": "AT_SITE"}
    bench.panda.run(slow, "a", "failed", **LOST)
    slow.status = "failed"
    assert bench.states() == {"a": "AT_SITE"}
    bench.runner.run(asyncio.sleep(0.1))
    assert bench.states() == {"a": "FAILED"}


def test_jobs_of_an_earlier_run_wait_for_reasons_too(bench: Bench, slow: GridTask) -> None:
    bench.panda.run(slow, "a", "failed", **LOST)
    slow.status = "failed"
    assert bench.states() == {"a": "UNKNOWN"}
    bench.runner.run(asyncio.sleep(0.1))
    assert bench.states() == {"a": "FAILED"}


def test_a_question_that_fails_when_nobody_waits_says_nothing(bench: Bench, slow: GridTask) -> None:
    said: list[object] = []
    bench.runner.get_loop().set_exception_handler(lambda _, context: said.append(context))
    bench.panda.run(slow, "a", "failed", **LOST)
    bench.panda.lost["failed_jobs"] = [DOWN]
    bench.states()
    bench.following.forget(slow.number)
    bench.runner.run(asyncio.sleep(0.1))
    gc.collect()
    assert said == []


def test_a_reason_that_is_refused_is_not_waited_for(bench: Bench) -> None:
    bench.panda.run(bench.task("a", status="failed"), "a", "failed")
    bench.panda.errors["failed_jobs"] = [PermanentError("is not the task owner")]
    assert bench.states() == {"a": "FAILED"}


def test_what_a_task_waits_for_is_said_once(bench: Bench) -> None:
    task = bench.task("a", status="pending")
    task.dialog = "no candidates"
    for _ in range(3):
        found = (bench.round())[task.number]["a"]
    assert found.state is JobState.QUEUED
    (said,) = bench.said
    assert said.startswith("PanDA task 1 waits for a site: no candidates; see the sites")
    task.status = "exhausted"
    bench.following.forget(task.number)
    assert bench.states() == {"a": "HELD"}
    assert "pbook -c 'finish(1)'" in bench.said[1]


def test_a_broken_task_says_why(bench: Bench) -> None:
    bench.task("a", status="broken").dialog = "KeyError:'architecture'"
    ((status,),) = [list(of.values()) for of in (bench.round()).values()]
    assert status.state is JobState.FAILED
    assert not status.infrastructure
    assert "architecture" in status.detail
    assert bench.said == []


@pytest.mark.parametrize("error", [DOWN, PermanentError("no"), CredentialsError("expired")])
def test_advice_that_is_not_to_be_had_does_no_harm(bench: Bench, error: GridError) -> None:
    bench.task("a", status="pending")
    bench.panda.errors["details"] = [error]
    assert bench.states() == {"a": "QUEUED"}


def test_what_is_forgotten_is_asked_for_anew(bench: Bench) -> None:
    task = bench.task("a")
    bench.panda.run(task, "a", "failed", **LOST)
    bench.round()
    bench.following.forget(task.number)
    bench.panda.errors["status"] = [DOWN]
    with pytest.raises(TransientError):
        bench.round()
    assert bench.states() == {"a": "FAILED"}
    assert bench.panda.counts["failed_jobs"] == 1


def test_a_round_and_a_cancel_may_wait_for_the_same_reasons(bench: Bench) -> None:
    task = bench.task("a", status="failed")
    bench.panda.run(task, "a", "failed", **LOST)
    wanted = {task.number: Wanted(["a"])}

    async def both() -> list[dict[int, dict[str, JobStatus]]]:
        return await asyncio.gather(*(bench.following.states(wanted) for _ in range(2)))

    for found in bench.runner.run(both()):
        assert found[task.number]["a"].site == "SITE_A"
    assert bench.panda.counts["failed_jobs"] == 1
