"""What is said of a disk that is full, and how long it is waited for."""

from __future__ import annotations

import asyncio
import errno

import pytest

from snakemake_executor_plugin_grid.model.errors import DiskFullError, EndingError
from snakemake_executor_plugin_grid.resilience.disk_full import DiskFullWait
from tests.unit.clock import VirtualClock

FULL = OSError(errno.ENOSPC, "No space left on device", "out.txt")


class Call:
    """One that may have to wait for room."""

    def __init__(self, disk_full: DiskFullWait) -> None:
        self._going_on = disk_full.call()
        self.token = self._going_on.__enter__()

    def end(self, error: BaseException | None = None) -> None:
        """Let it end: well, or with an error, which it hands on."""
        if error is None:
            self._going_on.__exit__(None, None, None)
        else:
            assert not self._going_on.__exit__(type(error), error, None)


class Scene:
    """Calls that wait for free space; time passes only while they pause."""

    def __init__(self, limit: float = 3600.0) -> None:
        self.said: list[str] = []
        self.clock = VirtualClock()
        self.disk_full = DiskFullWait(limit, self.said.append, self.clock, self._pause)
        self.calls: list[Call] = []
        self.ending = False

    async def _pause(self, seconds: float) -> None:
        if self.ending:
            raise EndingError("the run is ending")
        self.clock.now += seconds

    def begin(self) -> Call:
        self.calls.append(Call(self.disk_full))  # one that is forgotten ends
        return self.calls[-1]

    def wait(self, call: Call, error: BaseException = FULL, times: int = 1) -> None:
        async def tries() -> None:
            for _ in range(times):
                await self.disk_full.wait(call.token, error)

        asyncio.run(tries())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_never_waited_is_over_without_a_word(scene: Scene) -> None:
    scene.begin().end()
    assert not scene.disk_full.trouble
    assert scene.said == []


def test_waiting_is_said_once_at_its_start_and_once_at_its_end(scene: Scene) -> None:
    call = scene.begin()
    scene.wait(call, times=3)
    assert scene.disk_full.trouble
    (said,) = scene.said
    assert said.startswith("Waiting for the disk: the disk of the submit host is full (out.txt).")
    call.end()
    assert not scene.disk_full.trouble
    assert "again after 15 s" in scene.said[1]


def test_there_is_room_again_when_there_is_for_all(scene: Scene) -> None:
    first, second = scene.begin(), scene.begin()
    scene.wait(first, times=2)
    scene.wait(second, DiskFullError("grid.sqlite: disk is full"))
    first.end()
    assert scene.disk_full.trouble
    assert len(scene.said) == 1
    second.end()
    assert not scene.disk_full.trouble
    assert "again after 15 s" in scene.said[1]


def test_the_end_of_another_call_changes_nothing(scene: Scene) -> None:
    first, second = scene.begin(), scene.begin()
    scene.wait(first)
    second.end()
    assert scene.disk_full.trouble
    assert len(scene.said) == 1


def test_a_call_that_ends_otherwise_says_nothing_of_room(scene: Scene) -> None:
    call = scene.begin()
    scene.wait(call)
    call.end(KeyError("of the call"))
    assert not scene.disk_full.trouble
    assert len(scene.said) == 1


def test_what_is_full_again_is_said_again_and_waited_for_anew(scene: Scene) -> None:
    for _ in range(2):
        call = scene.begin()
        scene.wait(call, times=600)  # most of the limit
        call.end()
    assert [text.split()[0] for text in scene.said] == ["Waiting", "There"] * 2
    assert scene.disk_full.exhausted == ""


def test_the_limit_counts_from_when_the_first_call_began_to_wait() -> None:
    scene = Scene(limit=12.0)
    began = scene.clock.now
    scene.wait(scene.begin(), times=2)  # until 10 s
    late = scene.begin()
    scene.wait(late)  # until 15 s
    assert scene.disk_full.exhausted == ""
    with pytest.raises(EndingError) as ended:
        scene.wait(late)
    assert str(ended.value) == scene.disk_full.exhausted
    for words in ("for 12 s", "--grid-outage-limit", "full (out.txt)"):
        assert words in scene.disk_full.exhausted
    assert scene.clock.now == began + 15.0  # without another pause


def test_a_pause_that_the_end_of_the_run_breaks_leaves_nothing_waiting(scene: Scene) -> None:
    call = scene.begin()
    scene.ending = True
    with pytest.raises(EndingError, match="the run is ending") as ended:
        scene.wait(call)
    call.end(ended.value)
    assert not scene.disk_full.trouble
    assert scene.disk_full.exhausted == ""
