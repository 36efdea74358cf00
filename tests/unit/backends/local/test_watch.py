from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_grid.backends.local.watch import (
    is_alive,
    process_start,
    wait_for_exit,
)

Process = subprocess.Popen[bytes]


@pytest.fixture
def sleeper() -> Iterator[Process]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(params=["pidfd", "poll"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "poll":

        def refuse(_pid: int) -> int:
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refuse)


def test_start_tells_processes_apart(sleeper: Process) -> None:
    assert process_start(sleeper.pid) >= process_start(os.getpid()) > 0
    assert process_start(sleeper.pid) == process_start(sleeper.pid)


def test_process_is_alive_until_it_ends(sleeper: Process) -> None:
    start = process_start(sleeper.pid)
    assert is_alive(sleeper.pid, start)
    sleeper.kill()
    time.sleep(0.2)
    assert not is_alive(sleeper.pid, start)  # a zombie
    sleeper.wait()
    assert not is_alive(sleeper.pid, start)
    assert process_start(sleeper.pid) == 0


def test_other_process_under_the_same_id_is_not_taken_for_it(sleeper: Process) -> None:
    assert not is_alive(sleeper.pid, process_start(sleeper.pid) - 1)


def test_process_of_somebody_else_is_not_taken_for_it(
    sleeper: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    start = process_start(sleeper.pid)
    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(sleeper.pid, start)
    assert not is_alive(sleeper.pid, start - 1)


def test_name_with_parentheses_does_not_confuse() -> None:
    code = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'a) Z 1 (', 0, 0, 0); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        start = process_start(process.pid)
        try:
            time.sleep(0.3)
            assert process_start(process.pid) == start
            assert is_alive(process.pid, start)
        finally:
            process.kill()


@pytest.mark.usefixtures("way")
def test_end_is_noticed() -> None:
    with subprocess.Popen(["sleep", "0.3"]) as process:
        began = time.monotonic()
        assert asyncio.run(wait_for_exit(process.pid, None))
        assert 0.1 < time.monotonic() - began < 5


@pytest.mark.usefixtures("way")
def test_deadline_passes(sleeper: Process) -> None:
    assert not asyncio.run(wait_for_exit(sleeper.pid, time.time() + 0.1))
    assert not asyncio.run(wait_for_exit(sleeper.pid, time.time() - 10))


@pytest.mark.usefixtures("way")
def test_process_that_has_ended_long_ago() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert asyncio.run(wait_for_exit(process.pid, time.time() + 10))


def test_nothing_stays_open(sleeper: Process) -> None:
    gc.collect()  # what other tests have left to be closed
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for _ in range(5):
        asyncio.run(wait_for_exit(sleeper.pid, time.time()))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
