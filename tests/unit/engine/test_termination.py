"""What SIGTERM does to a process, step by step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from snakemake_executor_plugin_grid.engine import termination as module
from snakemake_executor_plugin_grid.engine.termination import EXIT_CODE, Termination
from tests.unit.clock import ManualClock


class Scene:
    """A termination, and the steps that it takes."""

    def __init__(self, last_words: Callable[[], object] | None = None) -> None:
        self.steps: SimpleQueue[str] = SimpleQueue()
        self.clock = ManualClock()
        self.hold = threading.Event()
        self.hold.set()
        self.termination = Termination(
            self._begin,
            last_words or (lambda: self.steps.put("last words")),
            clock=self.clock,
            interrupt=lambda: self.steps.put("interrupt"),
            end_process=lambda code: self.steps.put(f"end {code}"),
        )

    def _begin(self) -> None:
        self.steps.put("begin")
        assert self.hold.wait(30)

    def next(self) -> str:
        return self.steps.get(timeout=10)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for limit in ("_PATIENCE", "_LIMIT"):
        monkeypatch.setattr(module, limit, 0.01)
    scene = Scene()
    yield scene
    scene.hold.set()


def test_a_main_thread_that_does_not_end_the_run_is_interrupted(scene: Scene) -> None:
    scene.hold.clear()  # it waits for a lock that the main thread holds
    scene.termination.handle()
    assert [scene.next() for _ in range(4)] == ["begin", "interrupt", "last words", "end 143"]
    with pytest.raises(SystemExit) as ended:
        scene.termination.handle()  # as the interrupt does
    assert ended.value.code == EXIT_CODE
    scene.termination.handle()  # a later one does nothing
    assert scene.steps.empty()


def test_a_main_thread_that_ends_the_run_is_not_interrupted(scene: Scene) -> None:
    scene.termination.ending()
    scene.termination.handle()
    assert [scene.next() for _ in range(3)] == ["begin", "last words", "end 143"]
    with pytest.raises(SystemExit):
        scene.termination.over()


def test_without_the_signal_a_run_ends_as_it_would(scene: Scene) -> None:
    scene.termination.ending()
    scene.termination.over()
    assert not scene.termination.hurries()
    assert scene.steps.empty()
    scene.termination.handle()  # while Snakemake does what comes after the jobs
    assert [scene.next() for _ in range(2)] == ["begin", "interrupt"]


def broken() -> None:
    raise BrokenPipeError


@pytest.mark.parametrize("last_words", [broken, threading.Event().wait], ids=["broken", "blocked"])
def test_a_process_whose_last_words_nobody_takes_ends(
    monkeypatch: pytest.MonkeyPatch, last_words: Callable[[], object]
) -> None:
    for limit in ("_PATIENCE", "_LIMIT", "_WORDS"):
        monkeypatch.setattr(module, limit, 0.01, raising=False)
    scene = Scene(last_words)
    scene.termination.ending()
    scene.termination.handle()
    assert [scene.next() for _ in range(2)] == ["begin", "end 143"]


def test_what_is_in_progress_has_some_seconds(scene: Scene) -> None:
    scene.termination.handle()
    assert scene.next() == "begin"
    assert not scene.termination.hurries()
    scene.clock.advance(4.1)
    assert scene.termination.hurries()


def test_a_process_whose_main_thread_holds_every_lock_ends() -> None:
    # The signal comes again and again, and the handler interrupts itself.
    code = """
import os, signal, threading
from snakemake_executor_plugin_grid.engine import termination
termination._PATIENCE = 0.5
lock = threading.Lock()
def begin():
    with lock:
        print("not reached")
handler = termination.Termination(begin, lambda: None).handle
signal.signal(signal.SIGTERM, handler)
lock.acquire()  # for good: what ends the main thread would release it from a `with`
for _ in range(100):  # they nest: more would reach Python's limit of recursion
    os.kill(os.getpid(), signal.SIGTERM)
threading.Event().wait()
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_CODE == 128 + signal.SIGTERM
    assert (ended.stdout, ended.stderr) == ("", "")


def test_a_process_whose_threads_hang_ends() -> None:
    code = """
import signal, sys, threading
from snakemake_executor_plugin_grid.engine import termination
termination._LIMIT = 0.5
ended = termination.Termination(lambda: None, lambda: print("last words"))
ended.ending()
threading.Thread(target=threading.Event().wait).start()
ended.handle()
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert ended.returncode == EXIT_CODE
    assert ended.stdout == "last words\n"
