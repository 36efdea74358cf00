"""Reports are looked for in the background: a slow store does not hold up other jobs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.bundles import report_lookup
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus

from .bundle_bench import Bench, names
from .test_backend import RUNNING, A, B, C, bench, run, states, submit

__all__ = ["bench"]


@pytest.mark.parametrize("bench", [{"in_sandbox": True}], indirect=True)
def test_bundles_that_have_ended_are_fetched_side_by_side(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(bench, *names(12))
    for number in range(4):
        bench.system.statuses[str(number + 1)] = JobStatus(JobState.DONE)
    fetching: list[str] = []

    async def states_with_four_at_a_time() -> Mapping[str, JobStatus]:
        together = asyncio.Event()

        async def retrieve(grid_id: str, folder: Path) -> None:
            fetching.append(grid_id)
            if len(fetching) == 4:
                together.set()
            await together.wait()

        monkeypatch.setattr(bench.system, "retrieve", retrieve)
        return await bench.backend.states(ids)

    found = run(states_with_four_at_a_time())
    assert sorted(fetching) == ["1", "2", "3", "4"]
    assert {status.state for status in found.values()} == {JobState.FAILED}


@pytest.mark.parametrize("bench", [{"in_sandbox": True}], indirect=True)
def test_one_whose_results_take_long_does_not_hold_up_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(bench, *names(6))
    monkeypatch.setattr(report_lookup, "_WAIT", 0.05)
    for number in ("1", "2"):
        bench.system.statuses[number] = JobStatus(JobState.DONE)

    async def rounds() -> list[list[JobState]]:
        come = asyncio.Event()

        async def retrieve(grid_id: str, folder: Path) -> None:
            if grid_id == "1":
                await come.wait()

        monkeypatch.setattr(bench.system, "retrieve", retrieve)
        seen = []
        for late in (False, True):
            if late:
                come.set()
                await asyncio.sleep(0.05)
            found = await bench.backend.states(ids)
            seen.append([found[one].state for one in ids])
        return seen

    waiting, failed = JobState.RUNNING, JobState.FAILED
    assert run(rounds()) == [[waiting] * 3 + [failed] * 3, [failed] * 6]


def test_the_store_is_asked_about_bundles_side_by_side(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(bench, *names(12))
    for number in range(4):
        bench.system.statuses[str(number + 1)] = RUNNING
    together = threading.Barrier(4)

    def fetch_file(*_: object) -> bool:
        together.wait(30)
        return False

    monkeypatch.setattr(bench.store, "fetch_file", fetch_file)
    assert states(bench, *ids) == [JobState.RUNNING, JobState.AT_SITE, JobState.AT_SITE] * 4


def test_a_store_that_hangs_is_asked_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = submit(bench, A, B, C)
    bench.system.statuses["1"] = RUNNING
    monkeypatch.setattr(report_lookup, "_WAIT", 0.05)
    asked: list[float] = []
    answers = threading.Event()

    def fetch_file(*_: object) -> bool:
        asked.append(time.monotonic())
        answers.wait(30)
        return False

    monkeypatch.setattr(bench.store, "fetch_file", fetch_file)

    async def three_rounds() -> None:
        for _ in range(3):
            found = await bench.backend.states(ids)
            assert found[ids[0]].state is JobState.RUNNING
        answers.set()

    run(three_rounds())
    assert len(asked) == 1
