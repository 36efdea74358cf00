"""How a run waits until its disk can be written again."""

from __future__ import annotations

import asyncio
import errno

import pytest

from snakemake_executor_plugin_grid.model.errors import DiskFullError, EndingError, GridError

from .outages_bench import Run, Server

FULL = [
    OSError(errno.ENOSPC, "No space left on device", "/w/out.root"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    DiskFullError("grid.sqlite: database or disk is full"),
    GridError("the client says: [Errno 28] No space left on device"),
]


@pytest.mark.parametrize("error", FULL)
def test_a_full_disk_is_waited_out_and_said_once(error: Exception) -> None:
    run = Run()
    servers = [Server(*[error] * 4) for _ in range(3)]

    async def calls() -> None:
        await asyncio.gather(*(run.outages.call(str(n), s.call) for n, s in enumerate(servers)))

    asyncio.run(calls())
    assert [server.tries for server in servers] == [5, 5, 5]
    assert [text.partition(":")[0] for text in run.said][:1] == ["Waiting for the disk"]
    assert "room on the disk again" in run.said[1]
    assert not run.outages.trouble


def test_a_full_disk_is_trouble_but_no_outage() -> None:
    run = Run()

    async def calls() -> None:
        call = asyncio.create_task(run.outages.call("outputs", Server(*[FULL[0]] * 9).call))
        await run.speaks()
        assert run.outages.trouble
        assert run.outages.due("states")
        await call
        assert not run.outages.trouble

    asyncio.run(calls())
    assert "the disk of the submit host is full (/w/out.root)" in run.said[0]
    assert not any("does not answer" in text for text in run.said)


def test_no_room_for_too_long_ends_the_run() -> None:
    run, server = Run(limit=100.0), Server(*[FULL[0]] * 1000)
    with pytest.raises(EndingError):
        asyncio.run(run.outages.call("outputs", server.call))
    assert run.outages.exhausted.startswith(
        "the disk could not be written for 1 min 40 s, which is the limit"
    )
    assert server.tries > 3


def test_room_that_a_server_beside_waits_for_is_that_of_all() -> None:
    run = Run()
    beside = run.outages.beside("s3", Server().call)

    async def calls() -> None:
        call = asyncio.create_task(beside.call("blobs", Server(*[FULL[0]] * 9).call))
        await run.speaks()
        assert run.outages.trouble
        await call

    asyncio.run(calls())
    assert [text.split()[0] for text in run.said] == ["Waiting", "There"]


def test_the_end_of_the_run_ends_the_waiting_for_free_space() -> None:
    run = Run()

    async def stopped() -> None:
        call = asyncio.create_task(run.outages.call("outputs", Server(*[FULL[0]] * 3).call))
        await run.speaks()
        run.outages.stop()
        await call

    began = run.clock.now
    with pytest.raises(EndingError, match="the run is ending"):
        asyncio.run(stopped())
    assert run.clock.now == began
