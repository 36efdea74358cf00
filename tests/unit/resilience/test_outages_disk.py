"""How a run waits until its disk can be written again."""

from __future__ import annotations

import asyncio
import errno
import time

import pytest

from snakemake_executor_plugin_grid.model.errors import DiskFullError, EndingError, GridError
from snakemake_executor_plugin_grid.resilience import disk_full as room

from .outages_bench import Run, Server


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PAUSE", 0.01)


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
        await asyncio.gather(*(run.patience.call(str(n), s.call) for n, s in enumerate(servers)))

    asyncio.run(calls())
    assert [server.tries for server in servers] == [5, 5, 5]
    assert [text.partition(":")[0] for text in run.said][:1] == ["Waiting for the disk"]
    assert run.said[1] == "There is room on the disk again after 0 s; going on."
    assert not run.patience.trouble


def test_a_full_disk_is_trouble_but_no_outage() -> None:
    run = Run(limit=60.0)

    async def calls() -> None:
        call = asyncio.create_task(run.patience.call("outputs", Server(*[FULL[0]] * 9).call))
        await asyncio.sleep(0.02)
        assert run.patience.trouble
        assert run.patience.due("states")
        await call
        assert not run.patience.trouble

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


def test_room_that_a_server_beside_waits_for_is_that_of_all() -> None:
    run = Run()
    beside = run.patience.beside("s3", Server().call)

    async def calls() -> None:
        call = asyncio.create_task(beside.call("blobs", Server(*[FULL[0]] * 9).call))
        await asyncio.sleep(0.02)
        assert run.patience.trouble
        await call

    asyncio.run(calls())
    assert [text.split()[0] for text in run.said] == ["Waiting", "There"]


def test_the_end_of_the_run_ends_the_waiting_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run()
    monkeypatch.setattr(room, "_PAUSE", 20.0)

    async def stopped() -> None:
        asyncio.get_running_loop().call_later(0.05, run.patience.stop)
        await run.patience.call("outputs", Server(*[FULL[0]] * 3).call)

    began = time.monotonic()
    with pytest.raises(EndingError, match="the run is ending"):
        asyncio.run(stopped())
    assert time.monotonic() - began < 5
