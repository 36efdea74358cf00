from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    EndingError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.resilience import outages as module
from snakemake_executor_plugin_grid.resilience.outages import persistently

from .outages_bench import DOWN, EXPIRED, Run, Server


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.04)
    monkeypatch.setattr(module, "_CREDENTIALS_PAUSE", 0.01)
    monkeypatch.setattr(module, "_CREDENTIALS_PERIOD", 0.0)


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made, but the clock goes forward."""
    asked: list[float] = []
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: sum(asked)))

    async def wait_for(waiting: Any, seconds: float | None) -> Any:
        if seconds is None or seconds > 100:  # the time limit of a call
            return await waiting
        waiting.close()
        asked.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", wait_for)
    return asked


@pytest.mark.parametrize("error", [DOWN, TimeoutError(), ConnectionResetError(104, "reset")])
def test_what_may_pass_is_tried_again_until_it_works(run: Run, error: BaseException) -> None:
    server = Server(error, error, error)
    assert asyncio.run(run.patience.call("states", server.call)) == "answer"
    assert server.tries == 4


def test_other_errors_come_at_once(run: Run) -> None:
    for error in (PermanentError("no"), GridError("what"), ValueError("bug")):
        server = Server(error)
        with pytest.raises(type(error), match=str(error)):
            asyncio.run(run.patience.call("states", server.call))
        assert server.tries == 1
    assert run.said == []


def test_an_outage_ends_the_run_by_time_not_by_count() -> None:
    run, server = Run(limit=0.3), Server(*[DOWN] * 1000)
    began = time.monotonic()
    with pytest.raises(EndingError) as caught:
        asyncio.run(run.patience.call("states", server.call))
    assert 0.2 < time.monotonic() - began < 2
    assert 5 < server.tries < 60
    assert run.patience.exhausted == str(caught.value)
    assert run.patience.exhausted == (
        "dirac has not answered for 0 s, asked for states (connection refused): that is the limit "
        "(--grid-outage-limit)"
    )


def test_no_limit_of_time_means_one_try() -> None:
    run, server = Run(limit=0.0), Server(DOWN)
    with pytest.raises(EndingError):
        asyncio.run(run.patience.call("states", server.call))
    assert server.tries == 1


def test_once_the_run_has_to_end_nothing_waits_any_longer() -> None:
    run = Run(limit=0.05)
    results, other = Server(*[DOWN] * 1000), Server(DOWN)

    async def calls() -> None:
        with pytest.raises(EndingError):
            await run.patience.call("results", results.call)
        reason = run.patience.exhausted
        with pytest.raises(EndingError):
            await run.patience.call("submission", other.call)
        assert other.tries == 1
        assert run.patience.exhausted == reason

    asyncio.run(calls())


def test_a_server_beside_ends_the_run_as_well(run: Run) -> None:
    run.patience._limit = 0.05
    beside = run.patience.beside("s3", Server().call)

    async def calls() -> None:
        with pytest.raises(EndingError):
            await beside.call("blobs", Server(*[DOWN] * 1000).call)
        with pytest.raises(EndingError):
            await run.patience.call("states", Server(DOWN).call)

    asyncio.run(calls())
    assert run.patience.exhausted.startswith("s3 has not answered for 0 s, asked for blobs")


def test_the_time_counts_from_the_first_failure_of_a_call() -> None:
    run = Run(limit=0.25)

    async def outages() -> None:
        for _ in range(4):
            await run.patience.call("states", Server(*[DOWN] * 4).call)

    began = time.monotonic()
    asyncio.run(outages())
    assert time.monotonic() - began > 0.25


def test_a_call_that_takes_too_long_is_a_failed_try(run: Run) -> None:
    tries = []

    async def slow() -> str:
        tries.append(1)
        await asyncio.sleep(0 if len(tries) > 2 else 60)
        return "answer"

    assert asyncio.run(run.patience.call("states", slow, 0.02)) == "answer"
    assert len(tries) == 3


def test_pauses_grow_up_to_a_bound_and_are_never_the_same(run: Run, pauses: list[float]) -> None:
    asyncio.run(run.patience.call("states", Server(*[DOWN] * 60).call))
    assert 0.005 <= pauses[0] <= 0.015
    assert all(pause <= 0.03 for pause in pauses[:2])
    # None grows while another call may have made it grow: at the latest at every third try.
    longest = pauses[9:]
    assert min(longest) >= 0.02
    assert min(longest) < 0.035
    assert max(longest) > 0.045
    assert max(longest) <= 0.06


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(run: Run) -> None:
    async def calls() -> None:
        patience = run.patience
        await asyncio.gather(
            patience.call("states", Server(*[DOWN] * 3).call),
            patience.call("results", Server(*[DOWN] * 5).call),
            patience.call("submission", Server().call),
        )
        assert len(run.said) == 2
        await patience.call("states", Server(DOWN).call)

    asyncio.run(calls())
    assert run.said[0].startswith("dirac does not answer, asked for states (connection refused)")
    assert run.said[1] == "dirac answers again after 0 s."
    assert len(run.said) == 4  # another outage


def test_what_works_says_nothing(run: Run) -> None:
    asyncio.run(run.patience.call("states", Server().call))
    run.patience.over("states")
    assert run.said == []


def test_the_run_waits_for_credentials_without_limit_and_goes_on_by_itself() -> None:
    run, server = Run(limit=0.0), Server(EXPIRED)
    run.proxy.errors = [EXPIRED, TransientError("CS down"), TimeoutError(), EXPIRED]
    assert asyncio.run(run.patience.call("submission", server.call)) == "answer"
    assert run.proxy.tries == 5
    assert server.tries == 2
    assert run.said == [
        "Waiting for credentials: the proxy has expired; run 'renew'. The run goes on by itself "
        "then; jobs that are on the grid are not touched.",
        "The credentials are good again; going on.",
    ]


def test_calls_that_wait_for_the_same_credentials_say_so_once(run: Run) -> None:
    run.proxy.errors = [EXPIRED] * 8
    servers = [Server(EXPIRED) for _ in range(4)]

    async def calls() -> None:
        await asyncio.gather(*(run.patience.call(str(n), s.call) for n, s in enumerate(servers)))

    asyncio.run(calls())
    assert [text.split()[0] for text in run.said] == ["Waiting", "The"]


def test_time_without_credentials_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CREDENTIALS_PAUSE", 0.4)
    run = Run(limit=0.15)
    server = Server(DOWN, EXPIRED, DOWN)
    assert asyncio.run(run.patience.call("submission", server.call)) == "answer"


def test_an_error_of_credentials_that_is_only_noted_waits_for_nothing(run: Run) -> None:
    run.patience.note("states", EXPIRED)
    run.patience.note("results", EXPIRED)
    assert len(run.said) == 1
    assert run.said[0].startswith("Waiting for credentials: ")
    assert run.proxy.tries == 0


def test_credentials_that_expire_soon_are_warned_of_once(run: Run) -> None:
    async def watch() -> None:
        for minutes in (50, 40):
            run.warning = f"expires in {minutes} min"
            await run.patience.watch_credentials()
        run.warning = ""
        await run.patience.watch_credentials()
        assert run.said == ["expires in 50 min"]
        run.warning = "expires in 59 min"
        await run.patience.watch_credentials()

    asyncio.run(watch())
    assert run.said == ["expires in 50 min", "expires in 59 min"]


def test_credentials_that_expire_are_told_of_and_their_renewal_too(run: Run) -> None:
    run.proxy.errors = [EXPIRED, EXPIRED, DOWN]

    async def watch() -> None:
        for _ in range(4):
            await run.patience.watch_credentials()
            await asyncio.sleep(2 * module._CREDENTIALS_PAUSE)

    asyncio.run(watch())
    assert [text.split()[0] for text in run.said] == ["Waiting", "The"]
    assert run.proxy.tries == 4


def test_credentials_are_not_looked_at_all_the_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CREDENTIALS_PERIOD", 60.0)
    # The clock of a machine that has just been started is still below the period.
    monkeypatch.setattr(run.patience, "_checked", time.monotonic() - 61)

    async def watch() -> None:
        for _ in range(3):
            await run.patience.watch_credentials()

    asyncio.run(watch())
    assert run.proxy.tries == 1


@pytest.mark.parametrize("error", [DOWN, EXPIRED])
def test_the_end_of_the_run_ends_the_waiting(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: GridError
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 20.0)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 20.0)
    monkeypatch.setattr(module, "_CREDENTIALS_PAUSE", 20.0)
    server = Server(*[error] * 3)
    run.proxy.errors = [EXPIRED] * 9

    async def stopped() -> None:
        asyncio.get_running_loop().call_later(0.05, run.patience.stop)
        await run.patience.call("submission", server.call)

    began = time.monotonic()
    with pytest.raises(EndingError, match="the run is ending"):
        asyncio.run(stopped())
    assert time.monotonic() - began < 5
    assert run.patience.exhausted == ""
    assert server.tries == 1  # what a run wanted before its end is not begun after it


def test_calls_from_other_threads(run: Run, loop: asyncio.AbstractEventLoop) -> None:
    run.patience.loop = loop
    server = Server(DOWN, DOWN)
    assert run.patience.call_now("storage", server.call) == "answer"
    assert server.tries == 3
    with pytest.raises(PermanentError):
        run.patience.call_now("storage", Server(PermanentError("no")).call)


def test_calls_from_other_threads_need_the_loop(run: Run) -> None:
    with pytest.raises(RuntimeError, match="before the controller has started"):
        run.patience.call_now("storage", Server().call)


def test_a_server_that_refuses_good_credentials_is_not_asked_for_ever(run: Run) -> None:
    server = Server(*[EXPIRED] * 10)
    with pytest.raises(PermanentError, match="look good from here"):
        asyncio.run(run.patience.call("states", server.call))
    assert server.tries == 4


def test_what_is_asked_for_now_and_then_is_asked_for_more_seldom_in_an_outage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.08)
    patience = run.patience
    tries: list[float] = []
    assert patience.due("states")
    while len(tries) < 7:
        if patience.due("states"):
            tries.append(time.monotonic())
            patience.note("states", DOWN)
        time.sleep(0.001)
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[0] >= 0.01
    assert pauses[1] >= 0.02
    assert pauses[2] >= 0.04
    assert min(pauses[3:]) >= 0.08
    assert patience.due("results")  # of which nothing is known
    patience.over("states")
    assert patience.due("states")
    assert len(run.said) == 2
    patience.note("states", DOWN)
    time.sleep(0.03)
    assert patience.due("states")  # another outage, and its first pause
    assert patience.exhausted == ""


def test_calls_that_fail_together_make_the_pauses_grow_once(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 60.0)
    for _ in range(12):
        run.patience.note("states", DOWN)
    time.sleep(0.1)
    assert run.patience.due("states")


def test_the_first_reason_why_the_run_has_to_end_stays() -> None:
    run = Run(limit=0.02)
    for what in ("states", "results"):
        run.patience.note(what, DOWN)
    time.sleep(0.05)
    for what in ("states", "results"):
        run.patience.due(what)
        assert "asked for states" in run.patience.exhausted


def test_an_outage_of_what_is_asked_for_now_and_then_ends_the_run() -> None:
    run = Run(limit=0.1)
    run.patience.note("states", DOWN)
    assert run.patience.exhausted == ""
    time.sleep(0.15)
    run.patience.due("states")
    assert run.patience.exhausted.startswith("dirac has not answered for 0 s, asked for states:")


def test_the_end_of_a_run_is_no_reason_to_try_again(run: Run) -> None:
    server = Server(EndingError("the run is ending"))
    with pytest.raises(EndingError):
        asyncio.run(run.patience.call("staging", server.call))
    assert server.tries == 1
    assert run.said == []


def test_trouble_is_that_of_this_server_of_those_beside_and_of_credentials(run: Run) -> None:
    patience = run.patience
    beside = patience.beside("s3", Server().call)
    for one in (patience, beside):
        assert not patience.trouble
        one.note("states", DOWN)
        assert patience.trouble
        one.over("states")
    patience.note("states", EXPIRED)
    assert patience.trouble
    patience.over("states")
    assert not patience.trouble


def test_what_is_done_on_this_host_says_nothing_of_the_credentials(run: Run) -> None:
    run.patience.note("states", EXPIRED)
    assert asyncio.run(run.patience.here(Server().call)) == "answer"
    assert [text.partition(":")[0] for text in run.said] == ["Waiting for credentials"]


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_a_first_call_is_tried_thrice(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    monkeypatch.setattr(module, "_PAUSES_AT_START", (0.01, 0.01))
    server = Server(*[DOWN] * failures)

    async def check() -> None:
        await server.call()

    with pytest.raises(TransientError) if failures > 2 else contextlib.nullcontext():
        asyncio.run(persistently(check))
    assert server.tries == min(failures + 1, 3)
