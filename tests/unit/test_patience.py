from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from snakemake_executor_plugin_grid import patience as module
from snakemake_executor_plugin_grid.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.patience import Patience

EXPIRED = CredentialsError("the proxy has expired; run 'renew'.")
DOWN = TransientError("connection refused")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.04)
    monkeypatch.setattr(module, "_CREDENTIALS_PAUSE", 0.01)
    monkeypatch.setattr(module, "_CREDENTIALS_PERIOD", 0.0)


class Server:
    """Does what the test says, try by try; then it works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def call(self) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


class Run:
    """Patience with a proxy that the test changes, and all that it says."""

    def __init__(self, limit: float = 60.0) -> None:
        self.said: list[str] = []
        self.proxy = Server()
        self.warning = ""
        self.patience = Patience("dirac", limit, self._check, self.said.append)

    async def _check(self) -> str:
        await self.proxy.call()
        return self.warning


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []

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


def test_an_outage_is_given_up_by_time_not_by_count() -> None:
    run, server = Run(limit=0.3), Server(*[DOWN] * 1000)
    began = time.monotonic()
    with pytest.raises(TransientError, match="connection refused"):
        asyncio.run(run.patience.call("states", server.call))
    assert 0.2 < time.monotonic() - began < 2
    assert 5 < server.tries < 60


def test_no_limit_of_time_means_one_try() -> None:
    run, server = Run(limit=0.0), Server(DOWN)
    with pytest.raises(TransientError):
        asyncio.run(run.patience.call("states", server.call))
    assert server.tries == 1


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
    for pause, base in zip(pauses[:4], (0.01, 0.02, 0.04, 0.04), strict=True):
        assert 0.5 * base <= pause <= 1.5 * base
    longest = pauses[2:]
    assert max(longest) <= 0.06
    assert max(longest) > 0.045
    assert min(longest) < 0.035


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
    with pytest.raises(type(error)):
        asyncio.run(stopped())
    assert time.monotonic() - began < 5
    assert server.tries == 1  # what a run wanted before its end is not begun after it


def test_calls_from_other_threads(run: Run, loop: asyncio.AbstractEventLoop) -> None:
    run.patience.loop = loop
    server = Server(DOWN, DOWN)
    assert run.patience.call_now("storage", server.call) == "answer"
    assert server.tries == 3
    with pytest.raises(PermanentError):
        run.patience.call_now("storage", Server(PermanentError("no")).call)


def test_calls_from_other_threads_need_the_loop(run: Run) -> None:
    make: Callable[[], Any] = Server().call
    with pytest.raises(RuntimeError, match="before the controller has started"):
        run.patience.call_now("storage", make)


def test_a_server_that_refuses_good_credentials_is_not_asked_for_ever(run: Run) -> None:
    server = Server(*[EXPIRED] * 10)
    with pytest.raises(PermanentError, match="look good from here"):
        asyncio.run(run.patience.call("states", server.call))
    assert server.tries == 4
