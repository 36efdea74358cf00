"""Trouble that lasts, on a real DIRAC server: it is waited out, and what is left is taken up."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import processes_below
from tests.faults import Running, eventually, waiting_for
from tests.servers.processes import Process

from .faults import Scene

pytestmark = [
    pytest.mark.dirac,
    pytest.mark.slow,
    pytest.mark.xdist_group("dirac-outages"),
]

DOWN = "does not answer"
UP = "answers again"


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"


def begun(scene: Scene, go: Path, *args: str) -> Running:
    """Begin a run of two jobs, and wait until they have begun."""
    scene.many(2, wait=waiting_for(go))
    run = scene.begin(*args)
    run.until(lambda: len(scene.notes("begun")) == 2)
    return run


def signal_all(processes: list[Process], number: signal.Signals) -> None:
    for process in processes:
        os.kill(process.pid, number)


def test_an_outage_of_many_rounds(scene: Scene, go: Path) -> None:
    run = begun(scene, go)
    # It would give up jobs of which nothing is heard: elsewhere that takes hours.
    scene.server.kill("stalled")
    scene.server.kill(scene.server.front)
    run.tells(DOWN)
    time.sleep(20)
    assert run.process.poll() is None, run.output
    assert UP not in run.output
    assert scene.notes() == {"begun-0": 1, "begun-1": 1}
    scene.server.start(scene.server.front)
    run.tells(UP, seconds=90)
    go.touch()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    scene.each_ran_once(2)
    assert len(scene.rows()) == 2


def test_what_the_server_gives_up_in_an_outage_is_sent_again(scene: Scene, go: Path) -> None:
    run = begun(scene, go)
    scene.server.kill(scene.server.front)
    eventually(lambda: scene.statuses() == {"Failed": 2}, 90)
    scene.server.start(scene.server.front)
    # Their wrappers hear now that they are to be killed, and say only that they were.
    run.until(lambda: scene.notes() == {"begun-0": 2, "begun-1": 2}, 120)
    go.touch()
    finished = run.finish().succeeded()
    assert finished.output.count("Resubmitting it") == 2, finished.output
    assert "somebody killed" not in finished.output
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}


def test_a_second_interrupt_while_the_server_is_away(scene: Scene, go: Path) -> None:
    run = begun(scene, go)
    # It takes connections, and does not answer.
    front = scene.server.processes.find(scene.server.front)
    signal_all(front, signal.SIGSTOP)
    try:
        run.interrupt_a_slow_cancel()
        left = run.finish(12).failed()
    finally:
        signal_all(front, signal.SIGCONT)
    numbers = [str(row.number) for row in scene.rows()]
    assert "Not confirmed to be cancelled: " in left.output
    for number in numbers:
        assert re.search(rf"\b{number} \(rule a", left.output), left.output
    resumed = scene.begin()
    resumed.until(lambda: scene.notes("begun") == {"begun-0": 2, "begun-1": 2}, 120)
    # The first two live on until their wrappers hear that they were killed.
    resumed.until(lambda: len(processes_below(go)) == 2, 120)
    go.touch()
    resumed.finish().succeeded()
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}
    assert [scene.project.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]
    states = scene.statuses()
    assert states["Done"] == states["Killed"] + states["Failed"] == 2, states
