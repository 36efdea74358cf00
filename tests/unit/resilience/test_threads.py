from __future__ import annotations

import asyncio
import threading

import pytest

from snakemake_executor_plugin_grid.resilience.threads import BUSY, in_thread


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name in (BUSY, "idle")}


def test_calls_do_not_wait_for_each_other() -> None:
    together = threading.Barrier(40)

    async def all_at_once() -> None:
        await asyncio.gather(*(in_thread(together.wait, 30) for _ in range(40)))

    asyncio.run(all_at_once())


def test_a_thread_is_used_again() -> None:
    used: set[int] = set()

    async def one_after_the_other() -> None:
        for _ in range(50):
            used.add(await in_thread(threading.get_ident))

    asyncio.run(one_after_the_other())
    assert len(used) < 10


def test_few_threads_are_kept() -> None:
    test_calls_do_not_wait_for_each_other()
    for thread in workers():
        thread.join(0.2)  # one that is not kept ends at once
    assert len(workers()) <= 16
    assert all(thread.daemon for thread in workers())


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_an_error_is_that_of_the_caller(error: BaseException) -> None:
    def fails() -> None:
        raise error

    async def one() -> None:
        caught = None
        try:
            await in_thread(fails)
        except BaseException as got:
            caught = got
        assert caught is error
        assert await in_thread(int, "7") == 7  # the thread goes on

    asyncio.run(one())


def test_a_caller_that_is_gone_does_no_harm() -> None:
    go, done = threading.Event(), threading.Event()

    def late() -> None:
        go.wait(30)
        done.set()

    async def leave() -> None:
        task = asyncio.ensure_future(in_thread(late))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    go.set()
    assert done.wait(30)
    assert asyncio.run(in_thread(int, "7")) == 7
