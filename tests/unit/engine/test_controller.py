"""The controller with a backend that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.engine import controller as module
from snakemake_executor_plugin_grid.model.errors import EndingError, GridError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.fickle import PATIENT, Bench
from tests.unit.interference import DOWN, Gate, Times, down


@pytest.mark.parametrize("bench", [{"lost_limit": 30.0}], indirect=True)
def test_a_job_that_the_backend_no_longer_names_is_given_up_after_a_time(bench: Bench) -> None:
    bench.submit("j-1")
    began = bench.clock.monotonic()
    (outcome,) = bench.ended(1)
    assert bench.clock.monotonic() - began >= 30
    assert not outcome.success
    assert "fickle has not listed it for" in outcome.message


def test_a_job_that_is_not_named_for_a_while_is_neither_failed_nor_done(bench: Bench) -> None:
    bench.submit("j-1")
    assert bench.polls(50) == []
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "pilot lost")}
    (outcome,) = bench.ended(1)
    assert "no report came back: pilot lost" in outcome.message
    assert "it said this" in outcome.message
    assert outcome.grid_id == "id-0"


def test_ids_that_nobody_asked_for_do_no_harm(bench: Bench) -> None:
    bench.submit("j-1")
    bench.polls()
    bench.backend.statuses = {
        "other": JobStatus(JobState.DONE),
        "id-0": JobStatus(JobState.CANCELLED),
    }
    (outcome,) = bench.ended(1)
    assert outcome.name == "j-1"


def test_a_client_library_that_exits_is_an_error_like_any_other(bench: Bench) -> None:
    bench.backend.checks = lambda: sys.exit(255)
    with pytest.raises(GridError, match="exited with 255"):
        bench.controller.call(bench.controller.check())
    bench.backend.answer = bench.backend.finds = lambda: sys.exit(255)
    bench.submit("j-1")
    (outcome,) = bench.ended(1)
    assert "exited with 255" in outcome.message


@PATIENT
def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    bench.backend.asks = Times(DOWN, 5)
    bench.wait_for(lambda: len(bench.said) > 1)
    assert [text.partition(" ")[2][:15] for text in bench.said] == [
        "does not answer",
        "answers again a",
    ]
    assert bench.phases() == {"j-1": "submitted"}


@PATIENT
def test_an_outage_is_recorded_for_the_status_command(bench: Bench) -> None:
    bench.submit("j-1")
    bench.journal.begin_run("", {})

    def noted() -> str:
        return str(bench.database.query("SELECT trouble FROM runs")[0][0])

    bench.backend.asks = down
    bench.wait_for(lambda: noted().startswith("fickle does not answer, asked for the states"))
    bench.backend.asks = lambda: None
    bench.wait_for(lambda: noted() == "")


@PATIENT
def test_a_server_that_is_down_is_asked_less_and_less_often(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    bench.backend.asks = down
    before = bench.backend.asked
    bench.polls(30)
    # After pauses of 1, 2, 4, 8 and 16 s.
    assert 2 <= bench.backend.asked - before <= 6


@pytest.mark.parametrize("bench", [{"outage_limit": 30.0}], indirect=True)
def test_an_outage_beyond_the_limit_ends_the_run_and_leaves_the_jobs(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    assert not bench.controller.trouble
    bench.backend.asks = down
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert "asked for the states of jobs" in bench.controller.exhausted
    assert bench.controller.trouble
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert bench.left() == {"j-1": "submitted"}
    assert bench.backend.cancelled == []
    assert bench.controller.on_the_grid == ["id-0 (rule sort (sample=a))"]


@pytest.mark.parametrize("bench", [{"outage_limit": 1e6, "lost_limit": 300.0}], indirect=True)
def test_time_in_which_the_server_is_down_loses_no_job(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    bench.backend.statuses = {"id-0": JobStatus(JobState.RUNNING)}
    bench.polls()
    bench.backend.asks = down
    assert bench.polls(320) == []
    bench.backend.statuses = {}
    bench.backend.asks = lambda: None
    before = bench.backend.asked
    bench.wait_for(lambda: bench.backend.asked > before)
    assert bench.polls() == []
    assert bench.phases() == {"j-1": "submitted"}


@pytest.mark.parametrize("what", ["submitting", "submitted"])
@PATIENT
def test_a_full_disk_keeps_no_job_from_being_submitted_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    bench.fill_disk(monkeypatch, what)
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    assert bench.backend.runs == {"j-1": 1, "j-2": 1}
    assert sorted(bench.left()) == ["j-1", "j-2"]
    if what == "submitting":
        assert [text.split()[0] for text in bench.said] == ["Waiting", "There"]


def test_what_was_not_confirmed_when_cancelling_is_listed(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    unconfirmed = bench.backend.jobs["j-2"]
    bench.backend.unconfirmed = {unconfirmed}
    left = bench.controller.cancel(1000, lambda: False)
    assert len(left) == 1
    assert left[0].startswith(unconfirmed)
    assert sorted(bench.backend.cancelled) == ["id-0", "id-1"]
    assert bench.left() == {"j-2": "cancelling"}  # the next run tries it again
    assert bench.phases() == {"j-1": "cancelled", "j-2": "cancelling"}
    assert "1 job(s) cancelled." in bench.said


def test_what_is_to_be_cancelled_is_noted_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    noted: list[dict[str, str]] = []

    async def cancel(ids: Collection[str]) -> set[str]:
        noted.append(await asyncio.to_thread(bench.phases))
        raise DOWN

    monkeypatch.setattr(bench.backend, "cancel", cancel)
    assert bench.controller.cancel(1000, lambda: False) == ["id-0 (rule sort (sample=a))"]
    assert noted == [{"j-1": "cancelling"}]
    assert bench.left() == {"j-1": "cancelling"}
    assert any("Cancelling failed: the server is down" in text for text in bench.said)


def test_a_slow_cancel_is_given_up_when_the_user_wants_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)

    async def cancel(ids: Collection[str]) -> set[str]:
        await asyncio.sleep(1000)
        return set()

    monkeypatch.setattr(bench.backend, "cancel", cancel)
    for limit in ("_SILENT_WAIT", "_LAST_TRANSFERS", "_LAST_SUBMISSIONS"):
        monkeypatch.setattr(module, limit, 0.2)  # the call goes on in the end
    pressed = iter([False, False, True])
    left = bench.controller.cancel(1e6, lambda: next(pressed))
    assert left == ["id-0 (rule sort (sample=a))"]
    assert bench.left() == {"j-1": "cancelling"}


def test_jobs_are_left_at_once_when_all_are_on_the_grid(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    began = bench.clock.monotonic()
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert bench.clock.monotonic() - began < 500
    assert bench.backend.cancelled == []
    assert bench.left() == {"j-1": "submitted", "j-2": "submitted"}
    assert len(bench.controller.on_the_grid) == 2


def test_what_has_ended_is_told_no_more_once_jobs_are_left(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    bench.controller.leave(lambda: False)
    bench.succeed("j-1")
    assert bench.polls() == []


def test_a_submission_that_is_under_way_is_waited_for(bench: Bench) -> None:
    bench.backend.answer = gate = Gate()
    bench.submit("j-1")
    bench.controller.leave(gate.open_later)
    assert bench.controller.on_the_grid == ["id-0 (rule sort (sample=a))"]
    assert bench.left() == {"j-1": "submitted"}


def test_of_submissions_that_are_under_way_each_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = bench.backend.submit

    async def slow(payloads: Sequence[Payload]) -> list[Submitted | Rejected]:
        await bench.clock.sleep(20)
        answers = await submit(payloads)
        refused = {"j-2", "j-4"}
        return [
            Rejected("no") if payload.spec.name in refused else answer
            for payload, answer in zip(payloads, answers, strict=True)
        ]

    monkeypatch.setattr(bench.backend, "submit", slow)
    bench.submit("j-1", "j-2")
    bench.submit("j-3")
    bench.submit("j-4")  # one that is refused is not waited for
    bench.controller.leave(lambda: False)
    assert len(bench.controller.on_the_grid) == 2
    assert bench.left() == {"j-1": "submitted", "j-3": "submitted"}
    assert bench.polls() == []


@pytest.mark.parametrize("why", ["the user", "the time"])
def test_a_submission_that_is_slow_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(module, "_LAST_SUBMISSIONS", 1.0 if why == "the time" else 1e9)
    bench.backend.answer = gate = Gate()
    bench.submit("j-1")
    assert gate.reached()
    bench.controller.leave(lambda: why == "the user")
    assert bench.left() == {"j-1": "submitting"}
    gate.open()


@PATIENT
def test_a_submission_to_a_server_that_is_down_is_not_waited_for(bench: Bench) -> None:
    bench.backend.answer = bench.backend.finds = down
    bench.submit("j-1")
    bench.wait_for(lambda: bench.controller.trouble)
    began = bench.clock.monotonic()
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert bench.clock.monotonic() - began < 500
    assert bench.left() == {"j-1": "submitting"}
    assert bench.controller.exhausted == ""


def test_the_run_is_at_rest_when_all_jobs_are_on_the_grid_and_have_been_asked_for(
    bench: Bench,
) -> None:
    controller = bench.controller
    assert controller.at_rest
    bench.submit("j-1")
    assert not controller.at_rest
    bench.wait_for(lambda: bool(controller.on_the_grid))
    bench.wait_for(lambda: bench.backend.asked > 0)
    bench.polls()
    assert controller.at_rest
    bench.backend.fetches = gate = Gate()
    bench.succeed("j-1")
    polling = asyncio.run_coroutine_threadsafe(controller.poll(), controller.loop)
    assert gate.reached()
    assert not controller.at_rest
    gate.open()
    outcomes = polling.result(10)
    assert bool(outcomes) or not controller.at_rest  # nobody knows yet what it has brought
    if not outcomes:
        bench.ended(1)
    assert controller.at_rest


def test_a_thread_that_waits_for_a_call_is_unblocked_when_the_run_is_abandoned(
    bench: Bench,
) -> None:
    waiting = asyncio.Event()

    async def call() -> None:
        bench.controller.abandon()  # while the thread waits
        await waiting.wait()

    with pytest.raises(EndingError):
        bench.controller.call(call())
    bench.controller.loop.call_soon_threadsafe(waiting.set)


def test_after_a_run_is_abandoned_no_thread_waits_for_a_call(bench: Bench) -> None:
    bench.controller.abandon()
    unblocked, ended = asyncio.Event(), threading.Event()

    async def call() -> None:
        await unblocked.wait()
        ended.set()

    for _ in range(3):
        with pytest.raises(EndingError):
            bench.controller.call(call())
    bench.controller.loop.call_soon_threadsafe(unblocked.set)
    assert ended.wait(10)  # the call itself goes on
    bench.controller.close()


def test_a_call_that_never_ends_does_not_keep_an_abandoned_run_from_ending(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LAST_SUBMISSIONS", 1.0)
    cancelled = threading.Event()

    async def call() -> None:
        bench.controller.abandon()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(EndingError):
        bench.controller.call(call())
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert cancelled.is_set()


def test_closing_lets_calls_end_that_an_interrupt_has_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closed = threading.Event(), asyncio.Event()

    async def close() -> None:
        closed.set()

    async def call() -> str:
        begun.set()
        await closed.wait()
        await bench.clock.sleep(20)  # as the error of a broken connection takes its time
        return "ended"

    monkeypatch.setattr(bench.backend, "close", close)
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(bench.controller.call, call())
        assert begun.wait(10)
        bench.controller.close()
        assert left.result(10) == "ended"


def test_a_bug_in_a_background_task_ends_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def acknowledge(names: object) -> None:
        raise KeyError("state")

    monkeypatch.setattr(bench.controller._completion, "acknowledge", acknowledge)
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    bench.controller.acknowledge(["j-1"])
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert "KeyError: 'state'" in bench.controller.exhausted
    assert bench.left() == {"j-1": "submitted"}
