"""Cancelling kills jobs or tasks, at a bounded cost, and tells which ends are not confirmed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Submitted
from snakemake_executor_plugin_grid.backends.panda import cancelling
from snakemake_executor_plugin_grid.engine import shutdown
from snakemake_executor_plugin_grid.model.errors import CredentialsError, TransientError
from snakemake_executor_plugin_grid.resilience.calls import CALL_TIMEOUT
from tests.unit.backends.panda.fake_panda import Bench, name, names

DOWN = TransientError("Connection refused")
SECRET = {"TOKEN": "hush"}
FOR_EVER = 1e6


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(cancelling, "CANCEL_LIMIT", 0.2)
    monkeypatch.setattr(cancelling, "_PAUSE", 0.01)
    return Bench(tmp_path, **getattr(request, "param", {}))


idds = pytest.mark.parametrize("bench", [{"idds": True}], indirect=True)


def polled(bench: Bench, ids: list[str]) -> None:
    """Poll once, and wait until the run has looked at single jobs."""

    async def poll() -> None:
        await bench.backend.states(ids)
        for _ in range(20):  # turns of the loop, in which the background task goes on
            await asyncio.sleep(0)

    bench.call(poll())
    assert bench.panda.counts["describe_jobs"] == 1


# Whole tasks


def test_a_task_all_of_whose_jobs_go_is_killed(bench: Bench) -> None:
    ids = bench.submitted(3)
    assert bench.call(bench.backend.cancel(ids)) == set()
    assert bench.panda.tasks[0].status == "toabort"
    assert (bench.panda.counts["kill_task"], bench.panda.counts["kill_jobs"]) == (1, 0)


def test_of_a_task_that_goes_on_single_jobs_are_killed(bench: Bench) -> None:
    ids = bench.submitted(4)
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "failed")
    attempts = [bench.panda.run(task, name(0)), bench.panda.run(task, name(1))]
    task.files[name(2)] = "finished"
    # The last has no job yet, so that nothing can be killed.
    assert bench.call(bench.backend.cancel(ids[:2])) == set()
    ((killed,),) = bench.panda.args_of("kill_jobs")
    assert sorted(killed) == attempts
    assert task.status == "running"


def test_of_a_job_that_has_failed_the_server_is_not_asked_for_all_jobs(bench: Bench) -> None:
    ids = bench.submitted(2)
    bench.panda.run(bench.panda.tasks[0], name(0), "failed")
    assert bench.call(bench.backend.cancel(ids[:1])) == set()
    assert bench.panda.counts["describe_jobs"] == bench.panda.counts["kill_jobs"] == 0


def test_a_job_that_has_another_attempt_has_not_ended(bench: Bench) -> None:
    ids = bench.submitted(2, overrides={"panda_task": '{"maxAttempt": 2}'})
    bench.panda.run(bench.panda.tasks[0], name(0), "failed")
    bench.panda.kill_jobs = lambda ids: [False for _ in ids]  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(ids[:1])) == set(ids[:1])


def test_jobs_that_were_taken_in_count_no_more_in_a_later_run_too(bench: Bench) -> None:
    ids = bench.submitted(3)
    bench.call(bench.backend.discard(ids[:2]))
    bench.restart()
    assert bench.call(bench.backend.cancel(ids[2:])) == set()
    assert bench.panda.counts["kill_task"] == 1


def test_jobs_that_the_server_does_not_kill_are_not_confirmed(bench: Bench) -> None:
    ids = bench.submitted(4)
    numbers = [bench.panda.run(bench.panda.tasks[0], name(number)) for number in range(3)]
    bench.panda.kill_jobs = lambda ids: [number == numbers[1] for number in ids]  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(ids[:3])) == {ids[0], ids[2]}
    bench.panda.kill_jobs = lambda ids: []  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel([ids[0]])) == {ids[0]}


@pytest.mark.parametrize("state", ["done", "prepared"])
def test_a_task_that_has_ended_is_cancelled(bench: Bench, state: str) -> None:
    ids = bench.submitted(1)
    bench.panda.tasks[0].status = state
    assert bench.call(bench.backend.cancel(ids)) == set()


def test_a_task_that_is_registered_while_it_is_cancelled_is_killed(bench: Bench) -> None:
    bench.panda.register = False
    ids = bench.submitted(1)
    (task,) = bench.panda.tasks
    kill = bench.panda.kill_task

    def later(number: int) -> None:
        task.registered = bench.panda.counts["kill_task"] > 1
        kill(number)

    bench.panda.kill_task = later  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(ids)) == set()
    assert task.status == "toabort"


@pytest.mark.parametrize("errors", [[DOWN], [DOWN] * 100, [CredentialsError("expired")] * 100])
def test_cancelling_outlives_errors(bench: Bench, errors: list[Exception]) -> None:
    ids = bench.submitted(2)
    bench.panda.errors["kill_task"] = list(errors)
    left = bench.call(bench.backend.cancel(ids))
    assert left == (set() if len(errors) == 1 else set(ids))


def test_one_task_that_cannot_be_cancelled_leaves_the_others(bench: Bench) -> None:
    first, second = bench.submitted(1), bench.submit(bench.payload(5))
    assert isinstance(second[0], Submitted)
    bench.panda.tasks[0].registered = False
    assert bench.call(bench.backend.cancel([*first, second[0].grid_id])) == set(first)
    assert bench.panda.tasks[1].status == "toabort"


@pytest.mark.parametrize("bench", [{"by_server": True}, {}], indirect=True)
def test_nothing_private_is_left_of_cancelled_jobs(bench: Bench) -> None:
    ids = bench.submitted(2, environment=SECRET)
    assert len(bench.panda.secrets) + len(bench.store.posted) == 1
    bench.panda.run(bench.panda.tasks[0], name(0))
    bench.call(bench.backend.cancel(ids[:1]))
    assert len(bench.panda.secrets) + len(bench.store.posted) == 1
    bench.call(bench.backend.cancel(ids[1:]))
    assert (bench.panda.secrets, bench.store.posted) == ({}, {})


@pytest.mark.parametrize("known", [True, False])
def test_a_large_task_that_is_partly_finished_is_killed_at_once(bench: Bench, known: bool) -> None:
    """Jobs that have ended, but were not taken in, do not keep a task alive."""
    bench.panda.seconds_per_job = 0.035  # 7 s for all of them
    ids = bench.submitted(200)
    (task,) = bench.panda.tasks
    for number in range(200):
        bench.panda.run(task, name(number), "finished" if number < 50 else "running")
    if known:
        bench.call(bench.backend.states(ids))
    assert bench.call(bench.backend.cancel(ids[50:])) == set()
    assert task.status == "toabort"
    assert not bench.panda.counts.keys() & {"describe_jobs", "kill_jobs"}


def test_a_failed_job_that_was_not_taken_in_keeps_no_task_alive(bench: Bench) -> None:
    ids = bench.submitted(3)
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "failed")
    bench.panda.run(task, name(1))
    assert bench.call(bench.backend.cancel(ids[1:])) == set()
    assert task.status == "toabort"


def test_an_accepted_kill_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server has aborted a task 25 s after it had accepted that."""
    monkeypatch.setattr(bench.panda, "kill_task", lambda number: None)
    assert bench.call(bench.backend.cancel(bench.submitted(2))) == set()
    assert bench.panda.tasks[0].status == "running"


def test_every_caller_waits_for_longer_than_cancelling_takes() -> None:
    from snakemake_executor_plugin_grid.backends.panda.cancelling import CANCEL_LIMIT

    assert min(shutdown._CANCEL_TIMEOUT, CALL_TIMEOUT) > CANCEL_LIMIT


# Single jobs


def test_jobs_of_an_earlier_look_are_killed_without_another(bench: Bench) -> None:
    ids = bench.submitted(3)
    (task,) = bench.panda.tasks
    numbers = [bench.panda.run(task, name(number)) for number in range(3)]
    polled(bench, ids)
    bench.panda.seconds_per_job = FOR_EVER
    assert bench.call(bench.backend.cancel(ids[:2])) == set()
    ((killed,),) = bench.panda.args_of("kill_jobs")
    assert sorted(killed) == numbers[:2]
    bench.restart()  # a later run, or `snakemake-grid cancel`
    bench.panda.run(task, name(3))  # another one goes on
    bench.call(bench.registry.submitting(task.name, [name(3)], 1))
    assert bench.call(bench.backend.cancel(ids[2:])) == set()
    assert bench.panda.args_of("kill_jobs")[1:] == [(numbers[2:],)]


def test_nobody_waits_for_a_server_that_needs_long_to_describe_jobs(bench: Bench) -> None:
    ids = bench.submitted(40)
    (task,) = bench.panda.tasks
    for number in range(40):
        bench.panda.run(task, name(number))
    bench.panda.seconds_per_job = FOR_EVER
    assert bench.call(bench.backend.cancel(ids[:20])) == set(ids[:20])
    assert (task.status, bench.panda.counts["kill_jobs"]) == ("running", 0)
    bench.panda.seconds_per_job = 0.0
    bench.restart()
    assert bench.call(bench.backend.cancel(ids[:20])) == set()
    assert bench.panda.counts["kill_task"] == 0


def test_a_job_that_does_not_exist_yet_is_not_confirmed(bench: Bench) -> None:
    ids = bench.submitted(2)
    bench.panda.run(bench.panda.tasks[0], name(0))
    assert bench.call(bench.backend.cancel(ids[1:])) == set(ids[1:])


def test_a_new_attempt_is_killed_not_the_one_that_was_seen(bench: Bench) -> None:
    ids = bench.submitted(2)
    (task,) = bench.panda.tasks
    bench.panda.run(task, name(0), "activated")
    task.files[name(0)] = "running"
    polled(bench, ids)
    task.jobs[0]["jobStatus"] = "closed"
    again = bench.panda.run(task, name(0))
    bench.panda.run(task, name(1))
    bench.panda.kill_jobs = lambda ids: [number == again for number in ids]  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(ids[:1])) == set()


def test_the_task_is_killed_once_the_others_have_ended(bench: Bench) -> None:
    """Of the two jobs to cancel, one does not exist yet; the other, killed before, is no other."""
    ids = bench.submitted(3)
    (task,) = bench.panda.tasks
    for number in (0, 2):
        bench.panda.run(task, name(number))

    def kill(ids: list[int]) -> list[bool]:
        task.files[name(2)] = "finished"
        return [True for _ in ids]

    bench.panda.kill_jobs = kill  # type: ignore[method-assign, assignment]
    assert bench.call(bench.backend.cancel(ids[:2])) == set()
    assert (task.status, bench.panda.counts["kill_jobs"]) == ("toabort", 1)


# iDDS


@idds
def test_a_request_without_a_task_is_over_when_idds_says_so(bench: Bench) -> None:
    ids = bench.submitted(2)
    assert bench.call(bench.backend.cancel(ids)) == set()
    assert bench.panda.args_of("idds_abort") == [(["7"],)]
    assert bench.panda.tasks == []
    assert bench.panda.requests["7"]["status"] == "Failed"


@idds
def test_the_task_of_a_request_whose_abort_was_lost_is_killed(bench: Bench) -> None:
    bench.panda.loses_aborts = True
    assert bench.call(bench.backend.cancel(bench.submitted(2))) == set()
    assert [task.status for task in bench.panda.tasks] == ["toabort"]


@idds
@pytest.mark.parametrize("state", ["New", "Cancelling", "Transforming"])
def test_a_request_that_does_not_end_may_still_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    ids = bench.submitted(2)
    asked = bench.panda.idds_tasks
    stuck = {"7": bench.panda.requests["7"] | {"status": state}}
    monkeypatch.setattr(bench.panda, "idds_tasks", lambda requests: stuck)
    assert bench.call(bench.backend.cancel(ids)) == set(ids)
    (said,) = bench.said
    assert "r7" in said
    assert "may still run" in said
    # The next run goes on with it.
    bench.restart()
    monkeypatch.setattr(bench.panda, "idds_tasks", asked)
    bench.panda.loses_aborts = True
    assert bench.call(bench.backend.cancel(ids)) == set()
    assert [task.status for task in bench.panda.tasks] == ["toabort"]


@idds
def test_a_task_is_killed_though_idds_refuses_the_abort(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = bench.submitted(2)
    bench.panda.submit({"taskName": "t", "pfnList": names(0, 1)})
    bench.panda.requests["7"]["task_id"] = 1
    monkeypatch.setattr(bench.panda, "idds_abort", lambda requests: [])
    assert bench.call(bench.backend.cancel(ids)) == set()
    assert bench.panda.tasks[0].status == "toabort"
