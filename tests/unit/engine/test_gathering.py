from __future__ import annotations

import asyncio
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine.gathering import Gathering
from snakemake_executor_plugin_grid.model.tracked import TrackedJob
from tests.unit.fickle import Bench
from tests.unit.specs import spec, tracked


class Clock:
    """Moves on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Host:
    """Hands over jobs; ``launched`` has when, and which."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.launched: list[tuple[int, list[str]]] = []
        self.gathering = Gathering(self.clock, self.launch)  # type: ignore[arg-type]

    async def launch(self, jobs: list[TrackedJob]) -> None:
        self.launched.append((round(self.clock.now), [job.name for job in jobs]))

    async def hand_over(self, times: list[float]) -> None:
        adding = []
        for number, when in enumerate(times):
            while self.clock.now < when:
                await self.clock.sleep(0.05)
            job = tracked(spec(f"j-{number}"))
            adding.append(asyncio.ensure_future(self.gathering.add([job])))
            await asyncio.sleep(0)
        await asyncio.gather(*adding)


@pytest.mark.parametrize(
    ("times", "launched"),
    [
        ([0], [(2, ["j-0"])]),
        ([0, 1, 2], [(4, ["j-0", "j-1", "j-2"])]),
        ([0, 1, 5], [(3, ["j-0", "j-1"]), (7, ["j-2"])]),
    ],
)
def test_jobs_that_come_one_after_the_other_go_together(
    times: list[float], launched: list[tuple[int, list[str]]]
) -> None:
    host = Host()
    asyncio.run(host.hand_over(times))
    assert host.launched == launched


def test_no_job_waits_for_more_than_half_a_minute() -> None:
    host = Host()
    asyncio.run(host.hand_over([float(n) for n in range(40)]))
    (first, jobs), (second, others) = host.launched
    assert first == 30
    assert second == 41
    assert len(jobs) + len(others) == 40


def test_the_end_of_a_run_is_not_waited_for() -> None:
    host = Host()
    host.gathering.stop()
    asyncio.run(host.hand_over([0]))
    assert host.launched == [(0, ["j-0"])]


def test_only_jobs_that_may_share_a_grid_job_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gathers(job: Any) -> bool:
        return bool(job.name != "j-2")

    monkeypatch.setattr(bench.backend, "gathers", gathers)
    bench.submit("j-1")
    bench.submit("j-2", "j-3")
    bench.submit("j-4")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 4)
    sent = [payload.spec.name for payload in bench.backend.payloads]
    assert sent == ["j-2", "j-1", "j-3", "j-4"]


def test_a_job_that_an_earlier_run_has_left_does_not_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.backend, "gathers", lambda _: True)
    bench.earlier("e-1")
    bench.look()
    began = bench.clock.monotonic()
    bench.submit("e-1")
    bench.wait_for(lambda: bench.controller.on_the_grid != [] and bench.controller.recovery.empty)
    assert bench.clock.monotonic() - began < 2
