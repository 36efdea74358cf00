"""What becomes of a Ctrl-C that comes while a run is being ended."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from snakemake_executor_plugin_grid.engine.shutdown import Interrupts
from tests.unit.clock import VirtualClock


@pytest.fixture(autouse=True)
def _harmless_handlers() -> Iterator[None]:
    # Of this test, so that a signal that is not heeded does not end it.
    former = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def send() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_echo_of_the_first_signal_changes_nothing(clock: VirtualClock) -> None:
    with Interrupts(clock) as interrupts:
        assert not interrupts.impatient()
        clock.now += 1.9
        send()
        assert not interrupts.impatient()
        clock.now += 60  # it counts when it came
        assert not interrupts.impatient()


def test_a_later_signal_is_noted_and_not_raised(clock: VirtualClock) -> None:
    with Interrupts(clock) as interrupts:
        clock.now += 2.1
        send()
        assert interrupts.impatient()
        assert interrupts.impatient()  # for good


def test_an_echo_after_a_signal_that_was_meant_does_not_undo_it(clock: VirtualClock) -> None:
    with Interrupts(clock) as interrupts:
        clock.now += 3
        send()
        clock.now -= 2.5
        send()
        assert interrupts.impatient()


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_signals_do_what_they_did(fails: bool) -> None:
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        with Interrupts():
            send()
            assert came == []
            if fails:
                raise KeyError("of the run")
    except KeyError:
        assert fails
    send()
    assert came == [signal.SIGINT]


def test_in_another_thread_no_signal_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def enter() -> None:
        with Interrupts() as interrupts:
            seen.append(interrupts.impatient())
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [False, before]
    assert signal.getsignal(signal.SIGINT) is before
