from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    EndingError,
    GridError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from snakemake_executor_plugin_grid.resilience.calls import retry_at_start

from .outages_bench import DOWN, EXPIRED, Run, Server


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.mark.parametrize("error", [DOWN, TimeoutError(), ConnectionResetError(104, "reset")])
def test_what_may_pass_is_tried_again_until_it_works(run: Run, error: BaseException) -> None:
    server = Server(error, error, error)
    assert asyncio.run(run.outages.call("states", server.call)) == "answer"
    assert server.tries == 4


def test_other_errors_come_at_once(run: Run) -> None:
    for error in (PermanentError("no"), GridError("what"), ValueError("bug")):
        server = Server(error)
        with pytest.raises(type(error), match=str(error)):
            asyncio.run(run.outages.call("states", server.call))
        assert server.tries == 1
    assert run.said == []


def test_an_outage_ends_the_run_by_time_not_by_count() -> None:
    run, server = Run(limit=3600.0), Server(*[DOWN] * 1000)
    began = run.clock.now
    with pytest.raises(EndingError) as caught:
        asyncio.run(run.outages.call("states", server.call))
    assert 3400 < run.clock.now - began < 3700
    assert 40 < server.tries < 130
    assert run.outages.exhausted == str(caught.value)
    assert run.outages.exhausted == (
        "dirac has not answered for 1 h, asked for states (connection refused): that is the limit "
        "(--grid-outage-limit)"
    )


def test_no_limit_of_time_means_one_try() -> None:
    run, server = Run(limit=0.0), Server(DOWN)
    with pytest.raises(EndingError):
        asyncio.run(run.outages.call("states", server.call))
    assert server.tries == 1


def test_once_the_run_has_to_end_nothing_waits_any_longer() -> None:
    run = Run(limit=60.0)
    results, other = Server(*[DOWN] * 1000), Server(DOWN)

    async def calls() -> None:
        with pytest.raises(EndingError):
            await run.outages.call("results", results.call)
        reason = run.outages.exhausted
        with pytest.raises(EndingError):
            await run.outages.call("submission", other.call)
        assert other.tries == 1
        assert run.outages.exhausted == reason

    asyncio.run(calls())


def test_another_server_ends_the_run_as_well() -> None:
    run = Run(limit=60.0)
    beside = run.outages.beside("s3", Server().call)

    async def calls() -> None:
        with pytest.raises(EndingError):
            await beside.call("blobs", Server(*[DOWN] * 1000).call)
        with pytest.raises(EndingError):
            await run.outages.call("states", Server(DOWN).call)

    asyncio.run(calls())
    assert run.outages.exhausted.startswith("s3 has not answered for 1 min, asked for blobs")


def test_the_time_counts_from_the_first_failure_of_a_call() -> None:
    run = Run(limit=20.0)

    async def outages() -> None:
        for _ in range(8):
            await run.outages.call("states", Server(*[DOWN] * 3).call)

    began = run.clock.now
    asyncio.run(outages())
    assert run.clock.now - began > 20


def test_a_call_that_takes_too_long_is_a_failed_try(run: Run) -> None:
    tries = []

    async def slow() -> str:
        tries.append(1)
        await asyncio.sleep(0 if len(tries) > 2 else 60)
        return "answer"

    assert asyncio.run(run.outages.call("states", slow, 0.001)) == "answer"
    assert len(tries) == 3


def test_pauses_grow_up_to_a_bound_and_are_never_the_same() -> None:
    run = Run(limit=1e6)
    asyncio.run(run.outages.call("states", Server(*[DOWN] * 60).call))
    pauses = run.clock.slept
    assert 0.5 <= pauses[0] <= 1.5
    assert all(pause <= 3 for pause in pauses[:2])
    # A pause grows at every third try at the latest, as tries before it is over do not count.
    longest = pauses[20:]
    assert min(longest) >= 30
    assert min(longest) < 50
    assert max(longest) > 70
    assert max(longest) <= 90


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(run: Run) -> None:
    async def calls() -> None:
        outages = run.outages
        await asyncio.gather(
            outages.call("states", Server(*[DOWN] * 3).call),
            outages.call("results", Server(*[DOWN] * 5).call),
            outages.call("submission", Server().call),
        )
        assert len(run.said) == 2
        await outages.call("states", Server(DOWN).call)

    asyncio.run(calls())
    assert run.said[0].startswith("dirac does not answer, asked for states (connection refused)")
    assert run.said[1].startswith("dirac answers again after ")
    assert len(run.said) == 4  # another outage


def test_what_works_says_nothing(run: Run) -> None:
    asyncio.run(run.outages.call("states", Server().call))
    run.outages.over("states")
    assert run.said == []


def test_the_run_waits_for_credentials_without_limit_and_goes_on_by_itself() -> None:
    run, server = Run(limit=0.0), Server(EXPIRED)
    run.proxy.errors = [EXPIRED, TransientError("CS down"), TimeoutError(), EXPIRED]
    assert asyncio.run(run.outages.call("submission", server.call)) == "answer"
    assert run.proxy.tries == 5
    assert server.tries == 2
    assert [text.partition(":")[0] for text in run.said] == [
        "Waiting for credentials",
        "The credentials are good again; the run continues.",
    ]
    assert "the proxy has expired; run 'renew'." in run.said[0]


def test_calls_that_wait_for_the_same_credentials_say_so_once(run: Run) -> None:
    run.proxy.errors = [EXPIRED] * 8
    servers = [Server(EXPIRED) for _ in range(4)]

    async def calls() -> None:
        await asyncio.gather(*(run.outages.call(str(n), s.call) for n, s in enumerate(servers)))

    asyncio.run(calls())
    assert [text.split()[0] for text in run.said] == ["Waiting", "The"]


def test_time_without_credentials_is_no_outage() -> None:
    run = Run(limit=4.5)
    server = Server(DOWN, EXPIRED, DOWN)
    assert asyncio.run(run.outages.call("submission", server.call)) == "answer"


def test_an_error_of_credentials_that_is_only_noted_waits_for_nothing(run: Run) -> None:
    run.outages.note("states", EXPIRED)
    run.outages.note("results", EXPIRED)
    assert len(run.said) == 1
    assert run.said[0].startswith("Waiting for credentials: ")
    assert run.proxy.tries == 0


def test_the_user_is_warned_once_of_credentials_that_expire_soon(run: Run) -> None:
    async def watch_again(warning: str) -> None:
        run.warning = warning
        run.clock.now += 61
        await run.outages.watch_credentials()

    async def watch() -> None:
        for minutes in (50, 40):
            await watch_again(f"expires in {minutes} min")
        await watch_again("")
        assert run.said == ["expires in 50 min"]
        await watch_again("expires in 59 min")

    asyncio.run(watch())
    assert run.said == ["expires in 50 min", "expires in 59 min"]


def test_credentials_that_expire_are_told_of_and_their_renewal_too(run: Run) -> None:
    run.proxy.errors = [EXPIRED, EXPIRED, DOWN]

    async def watch() -> None:
        for _ in range(4):
            await run.outages.watch_credentials()
            run.clock.now += 15.0

    asyncio.run(watch())
    assert [text.split()[0] for text in run.said] == ["Waiting", "The"]
    assert run.proxy.tries == 4


def test_credentials_are_not_looked_at_all_the_time(
    run: Run,
) -> None:
    async def watch(seconds: float) -> int:
        run.clock.now += seconds
        await run.outages.watch_credentials()
        return run.proxy.tries

    tries = [asyncio.run(watch(seconds)) for seconds in (0, 1, 58, 2, 59)]
    assert tries == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("error", [DOWN, EXPIRED])
def test_the_end_of_the_run_ends_the_waiting(run: Run, error: GridError) -> None:
    server = Server(*[error] * 3)
    run.proxy.errors = [EXPIRED] * 9

    async def stopped() -> None:
        call = asyncio.create_task(run.outages.call("submission", server.call))
        await run.speaks()
        run.outages.stop()
        await call

    began = run.clock.now
    with pytest.raises(EndingError, match="the run is ending"):
        asyncio.run(stopped())
    assert run.clock.now == began
    assert run.outages.exhausted == ""
    assert server.tries == 1  # what a run wanted before its end is not begun after it


def test_calls_from_other_threads(run: Run, loop: asyncio.AbstractEventLoop) -> None:
    run.outages.use_loop(loop)
    server = Server(DOWN, DOWN)
    assert run.outages.call_now("storage", server.call) == "answer"
    assert server.tries == 3
    with pytest.raises(PermanentError):
        run.outages.call_now("storage", Server(PermanentError("no")).call)


def test_calls_from_other_threads_need_the_loop(run: Run) -> None:
    with pytest.raises(RuntimeError, match="before the controller has started"):
        run.outages.call_now("storage", Server().call)


def test_a_server_that_refuses_good_credentials_is_not_asked_for_ever(run: Run) -> None:
    server = Server(*[EXPIRED] * 10)
    with pytest.raises(PermanentError, match="look valid from here"):
        asyncio.run(run.outages.call("states", server.call))
    assert server.tries == 4


def test_a_regular_call_is_made_less_often_in_an_outage(run: Run) -> None:
    outages = run.outages
    tries: list[float] = []
    assert outages.due("states")
    while len(tries) < 9:
        if outages.due("states"):
            tries.append(run.clock.now)
            outages.note("states", DOWN)
        run.clock.now += 0.5
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert outages.due("results")  # of which nothing is known
    outages.over("states")
    assert outages.due("states")
    assert len(run.said) == 2
    outages.note("states", DOWN)
    run.clock.now += 1
    assert outages.due("states")  # another outage, and its first pause
    assert outages.exhausted == ""


def test_calls_that_fail_together_make_the_pauses_grow_once(run: Run) -> None:
    for _ in range(12):
        run.outages.note("states", DOWN)
    run.clock.now += 1
    assert run.outages.due("states")


def test_the_first_reason_why_the_run_has_to_end_stays() -> None:
    run = Run(limit=20.0)
    for what in ("states", "results"):
        run.outages.note(what, DOWN)
    run.clock.now += 21
    for what in ("states", "results"):
        run.outages.due(what)
        assert "asked for states" in run.outages.exhausted


def test_an_outage_of_a_regular_call_ends_the_run() -> None:
    run = Run(limit=100.0)
    run.outages.note("states", DOWN)
    assert run.outages.exhausted == ""
    run.clock.now += 101
    run.outages.due("states")
    assert run.outages.exhausted.startswith(
        "dirac has not answered for 1 min 40 s, asked for states:"
    )


def test_the_end_of_a_run_is_no_reason_to_try_again(run: Run) -> None:
    server = Server(EndingError("the run is ending"))
    with pytest.raises(EndingError):
        asyncio.run(run.outages.call("staging", server.call))
    assert server.tries == 1
    assert run.said == []


def test_trouble_is_that_of_this_server_of_those_beside_and_of_credentials(run: Run) -> None:
    outages = run.outages
    beside = outages.beside("s3", Server().call)
    for one in (outages, beside):
        assert not outages.trouble
        one.note("states", DOWN)
        assert outages.trouble
        one.over("states")
    outages.note("states", EXPIRED)
    assert outages.trouble
    outages.over("states")
    assert not outages.trouble


def test_what_is_done_on_this_host_says_nothing_of_the_credentials(run: Run) -> None:
    run.outages.note("states", EXPIRED)
    assert asyncio.run(run.outages.retry_when_disk_full(Server().call)) == "answer"
    assert [text.partition(":")[0] for text in run.said] == ["Waiting for credentials"]


@pytest.mark.parametrize("failures", [0, 2, 3])
def test_a_first_call_is_tried_three_times(run: Run, failures: int) -> None:
    server = Server(*[DOWN] * failures)

    async def check() -> None:
        await server.call()

    with pytest.raises(TransientError) if failures > 2 else contextlib.nullcontext():
        asyncio.run(retry_at_start(check, run.clock))
    assert server.tries == min(failures + 1, 3)


def test_a_server_that_cannot_be_reached_is_told_by_address_and_reason() -> None:
    cause = "127.0.0.1:25039: connection refused"
    run = Run(limit=3600.0)
    server = Server(*[UnreachableError(f"DIRAC does not answer ({cause})", cause)] * 1000)
    with pytest.raises(EndingError) as caught:
        asyncio.run(run.outages.call("states", server.call))
    assert run.said[0].startswith(f"dirac does not answer ({cause});")
    for text in (run.said[0], str(caught.value)):
        assert text.count(cause) == 1


def test_the_full_stop_of_an_error_does_not_end_a_sentence_in_its_middle(run: Run) -> None:
    server = Server(TransientError("try again later."))
    asyncio.run(run.outages.call("states", server.call))
    assert "(try again later);" in run.said[0]


def test_what_an_outage_affects() -> None:
    run, server = Run(), Server(DOWN, DOWN, DOWN)
    assert not run.outages.affects(since=0)
    other = run.outages.beside("store", run._check)
    run.outages.note("states", DOWN)
    assert run.outages.affects(since=run.clock.now)
    run.outages.over("states")
    assert run.outages.affects(since=run.clock.now - 1)
    assert not run.outages.affects(since=run.clock.now)
    run.clock.now += 600
    assert not run.outages.affects(since=0)
    asyncio.run(other.call("outputs", server.call))
    assert run.outages.affects(since=0)  # of a store as well
