"""What becomes of signals that come while a run is being ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_grid.engine.shutdown import Interrupts
from tests.unit.clock import VirtualClock

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def _harmless_handlers() -> Iterator[None]:
    # Of this test, so that a signal that is not heeded does not end it.
    numbers = (signal.SIGINT, signal.SIGTERM)
    former = {number: signal.signal(number, lambda *_: None) for number in numbers}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@SIGNALS
def test_an_echo_of_the_first_signal_changes_nothing(clock: VirtualClock, number: int) -> None:
    with Interrupts(clock) as interrupts:
        assert not interrupts.impatient()
        clock.now += 1.9
        send(number)
        assert not interrupts.impatient()
        clock.now += 60  # it counts when it came
        assert not interrupts.impatient()


@SIGNALS
def test_a_later_signal_is_noted_and_not_raised(clock: VirtualClock, number: int) -> None:
    with Interrupts(clock) as interrupts:
        clock.now += 2.1
        send(number)
        assert interrupts.impatient()
        assert interrupts.impatient()  # for good


def test_an_echo_after_a_signal_that_was_meant_does_not_undo_it(clock: VirtualClock) -> None:
    with Interrupts(clock) as interrupts:
        clock.now += 3
        send(signal.SIGINT)
        clock.now -= 2.5
        send(signal.SIGTERM)
        assert interrupts.impatient()


@SIGNALS
@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_signals_do_what_they_did(number: int, fails: bool) -> None:
    came: list[int] = []
    signal.signal(number, lambda number, _frame: came.append(number))
    try:
        with Interrupts():
            send(number)
            assert came == []
            if fails:
                raise KeyError("of the run")
    except KeyError:
        assert fails
    send(number)
    assert came == [number]


def test_in_another_thread_no_signal_is_touched() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seen: list[object] = []

    def enter() -> None:
        with Interrupts() as interrupts:
            seen.append(interrupts.impatient())
            seen.append([signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)])

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False, before]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_sigterm_does_not_end_a_program_that_is_ending() -> None:
    code = """
import os, signal
from snakemake_executor_plugin_grid.engine.shutdown import Interrupts
with Interrupts():
    os.kill(os.getpid(), signal.SIGTERM)
    print("cancelled", flush=True)
os.kill(os.getpid(), signal.SIGTERM)
print("not reached")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "cancelled\n", ended.stderr
    assert ended.returncode == -signal.SIGTERM
