"""The controller with a backend that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from snakemake_executor_plugin_grid.errors import (
    GridError,
    TransientError,
)
from snakemake_executor_plugin_grid.journal import Journal
from snakemake_executor_plugin_grid.states import JobState, JobStatus
from tests.unit.fickle import Bench
from tests.unit.specs import spec


def _down() -> None:
    raise TransientError("the server is down")


@pytest.mark.parametrize("bench", [{"lost_limit": 0.3}], indirect=True)
def test_a_job_that_the_backend_no_longer_names_is_given_up_after_a_time(bench: Bench) -> None:
    bench.submit("j-1")
    began = time.monotonic()
    (outcome,) = bench.outcomes(1)
    assert time.monotonic() - began >= 0.3
    assert not outcome.success
    assert "fickle has not known it for" in outcome.message


def test_a_job_that_is_not_named_for_a_while_is_neither_failed_nor_done(bench: Bench) -> None:
    bench.submit("j-1")
    assert bench.polls(0.3) == []
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "pilot lost")}
    (outcome,) = bench.outcomes(1)
    assert "no report came back: pilot lost" in outcome.message
    assert "it said this" in outcome.message
    assert outcome.grid_id == "id-0"


def test_ids_that_nobody_asked_for_do_no_harm(bench: Bench) -> None:
    bench.submit("j-1")
    bench.polls(0.1)
    bench.backend.statuses = {
        "other": JobStatus(JobState.DONE),
        "id-0": JobStatus(JobState.CANCELLED),
    }
    (outcome,) = bench.outcomes(1)
    assert outcome.name == "j-1"


def test_a_lost_answer_neither_loses_a_job_nor_runs_it_twice(bench: Bench) -> None:
    bench.backend.answer = _down
    bench.submit("j-1", "j-2")
    bench.polls(0.2)
    assert bench.phases() == {"j-1": "submitted", "j-2": "submitted"}
    bench.backend.statuses = {
        grid_id: JobStatus(JobState.FAILED) for grid_id in bench.backend.jobs.values()
    }
    assert sorted(outcome.name for outcome in bench.outcomes(2)) == ["j-1", "j-2"]


def test_a_job_that_may_have_been_submitted_is_looked_for_by_the_next_run(bench: Bench) -> None:
    bench.backend.answer = bench.backend.finds = _down
    bench.submit("j-1")
    (outcome,) = bench.outcomes(1)
    assert "could not be submitted: the server is down" in outcome.message
    assert bench.phases() == {"j-1": "submitting"}
    later = Journal(bench.database, "later", "fickle")
    assert [(job.name, job.grid_id) for job in later.left()] == [("j-1", None)]


def test_a_client_library_that_exits_is_an_error_like_any_other(bench: Bench) -> None:
    bench.backend.checks = lambda: sys.exit(255)
    with pytest.raises(GridError, match="exited with 255"):
        bench.controller.call(bench.controller.check(), 10)
    bench.backend.answer = bench.backend.finds = lambda: sys.exit(255)
    bench.submit("j-1")
    (outcome,) = bench.outcomes(1)
    assert "exited with 255" in outcome.message


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(bench: Bench) -> None:
    bench.submit("j-1")
    bench.polls(0.1)
    states = bench.backend.states

    async def down(ids: Collection[str]) -> Mapping[str, JobStatus]:
        raise TransientError("the server is down")

    bench.backend.states = down  # type: ignore[method-assign]
    assert bench.polls(0.2) == []
    bench.backend.states = states  # type: ignore[method-assign]
    bench.polls(0.1)
    assert [text.partition(" ")[2][:15] for text in bench.said] == [
        "does not answer",
        "answers again a",
    ]


def test_what_was_not_confirmed_when_cancelling_is_listed(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.polls(0.2)
    unconfirmed = bench.backend.jobs["j-2"]
    bench.backend.unconfirmed = {unconfirmed}
    left = bench.controller.cancel(10, lambda: False)
    assert len(left) == 1
    assert left[0].startswith(unconfirmed)
    assert sorted(bench.backend.cancelled) == ["id-0", "id-1"]
    assert bench.phases() == {"j-1": "cancelled", "j-2": "submitted"}
    assert "1 job(s) cancelled." in bench.said
    assert not bench.controller.active


def test_jobs_of_a_run_that_died_are_cancelled(bench: Bench) -> None:
    earlier = Journal(bench.database, "earlier", "fickle")
    earlier.submitting([spec("e-1"), spec("e-2")])
    earlier.submitted({"e-1": "id-7"})
    bench.backend.jobs = {"e-1": "id-7"}
    bench.controller.call(bench.controller.check())
    assert bench.backend.cancelled == ["id-7"]
    assert bench.phases() == {"e-1": "cancelled", "e-2": "cancelled"}
    assert any("an earlier run left behind" in text for text in bench.said)


def test_closing_lets_calls_end_that_an_interrupt_has_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    async def call() -> str:
        await closed.wait()
        await asyncio.sleep(0.2)  # as the error of a broken connection takes its time
        return "ended"

    monkeypatch.setattr(bench.backend, "close", close)
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(bench.controller.call, call(), 20)
        time.sleep(0.1)
        bench.controller.close()
        assert left.result(5) == "ended"
