from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid import patience as module
from snakemake_executor_plugin_grid import room
from snakemake_executor_plugin_grid.errors import (
    CredentialsError,
    DiskFullError,
    EndingError,
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
    monkeypatch.setattr(room, "_PAUSE", 0.01)


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
    make: Callable[[], Any] = Server().call
    with pytest.raises(RuntimeError, match="before the controller has started"):
        run.patience.call_now("storage", make)


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
    assert patience.exhausted == ""


def test_an_outage_of_what_is_asked_for_now_and_then_ends_the_run() -> None:
    run = Run(limit=0.1)
    run.patience.note("states", DOWN)
    assert run.patience.exhausted == ""
    time.sleep(0.15)
    run.patience.due("states")
    assert run.patience.exhausted.startswith("dirac has not answered for 0 s, asked for states:")


FULL = [
    OSError(errno.ENOSPC, "No space left on device", "/w/out.root"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    DiskFullError("grid.sqlite: database or disk is full"),
    GridError("the client says: [Errno 28] No space left on device"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_is_waited_out_and_said_once(run: Run, error: Exception) -> None:
    servers = [Server(*[error] * 4) for _ in range(3)]

    async def calls() -> None:
        await asyncio.gather(*(run.patience.call(str(n), s.call) for n, s in enumerate(servers)))

    asyncio.run(calls())
    assert [server.tries for server in servers] == [5, 5, 5]
    assert [text.partition(":")[0] for text in run.said][:1] == ["Waiting for the disk"]
    assert run.said[1] == "There is room on the disk again after 0 s; going on."
    assert not run.patience.troubled


def test_a_full_disk_is_trouble_but_no_outage() -> None:
    run = Run(limit=60.0)

    async def calls() -> None:
        call = asyncio.create_task(run.patience.call("outputs", Server(*[FULL[0]] * 9).call))
        await asyncio.sleep(0.02)
        assert run.patience.troubled
        assert run.patience.due("states")
        await call
        assert not run.patience.troubled

    asyncio.run(calls())
    assert "the disk of the submit host is full (/w/out.root)" in run.said[0]
    assert not any("does not answer" in text for text in run.said)


def test_no_room_for_too_long_ends_the_run() -> None:
    run, server = Run(limit=0.1), Server(*[FULL[0]] * 1000)
    with pytest.raises(EndingError):
        asyncio.run(run.patience.call("outputs", server.call))
    assert run.patience.exhausted.startswith(
        "the disk could not be written for 0 s, which is the limit"
    )
    assert server.tries > 3


def test_room_that_a_server_beside_waits_for_is_that_of_all(run: Run) -> None:
    beside = run.patience.beside("s3", Server().call)

    async def calls() -> None:
        call = asyncio.create_task(beside.call("blobs", Server(*[FULL[0]] * 9).call))
        await asyncio.sleep(0.02)
        assert run.patience.troubled
        await call

    asyncio.run(calls())
    assert [text.split()[0] for text in run.said] == ["Waiting", "There"]


def test_the_end_of_the_run_ends_the_waiting_for_room(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_PAUSE", 20.0)

    async def stopped() -> None:
        asyncio.get_running_loop().call_later(0.05, run.patience.stop)
        await run.patience.call("outputs", Server(*[FULL[0]] * 3).call)

    began = time.monotonic()
    with pytest.raises(EndingError, match="the run is ending"):
        asyncio.run(stopped())
    assert time.monotonic() - began < 5


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
        assert not patience.troubled
        one.note("states", DOWN)
        assert patience.troubled
        one.over("states")
    patience.note("states", EXPIRED)
    assert patience.troubled
    patience.over("states")
    assert not patience.troubled


def test_limits_are_told_in_the_unit_of_their_size() -> None:
    assert room.hours(60.0) == "60 s"
    assert room.hours(24 * 3600.0) == "24 h"
    assert room.hours(1800.0) == "0.5 h"


def test_what_is_done_on_this_host_says_nothing_of_the_credentials() -> None:
    said: list[str] = []

    async def good() -> str:
        return ""

    async def write() -> int:
        return 7

    async def scene() -> int:
        patience = Patience("server", 1.0, good, said.append)
        patience.note("the states of jobs", CredentialsError("the proxy has expired"))
        return await patience.here(write)

    assert asyncio.run(scene()) == 7
    assert [text.partition(":")[0] for text in said] == ["Waiting for credentials"]
