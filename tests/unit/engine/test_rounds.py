from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine.rounds import Rounds
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import TrackedJob
from tests.unit.specs import spec, tracked

RUNNING = JobStatus(JobState.RUNNING)


class Run:
    """Jobs on a backend whose calls may name ten."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.usual: dict[str, float] = {}
        self.read: list[set[str]] = []
        clock = SimpleNamespace(monotonic=lambda: self.now)
        journal = SimpleNamespace(durations=self._durations)
        backend = SimpleNamespace(states_per_round=10)
        context: Any = SimpleNamespace(clock=clock, journal=journal, backend=backend)
        self.backend, self.rounds = backend, Rounds(context)
        self.jobs = {str(number): tracked(spec(f"j-{number}")) for number in range(count)}

    def _durations(self, rules: set[str]) -> dict[str, float]:
        self.read.append(rules)
        return self.usual

    def round(self) -> set[str]:
        """Ask in a round, and return the ids."""
        asked = asyncio.run(self._choose())
        for job in asked.values():
            job.seen = True
        return set(asked)

    async def _choose(self) -> dict[str, TrackedJob]:
        return dict(await self.rounds.choose(self.jobs))

    def run(self, *ids: str) -> None:
        for grid_id in ids:
            self.jobs[grid_id].status = RUNNING


@pytest.mark.parametrize("most", [None, 100])
def test_few_jobs_are_all_asked_about(most: int | None) -> None:
    run = Run(100)
    run.backend.states_per_round = most
    assert run.round() == set(run.jobs)
    assert run.read == []


def test_each_job_has_its_turn_and_no_round_is_larger_than_a_call() -> None:
    run = Run(95)
    rounds = [run.round() for _ in range(10)]
    assert set(map(len, rounds)) == {10}
    assert set().union(*rounds) == set(run.jobs)


def test_a_job_near_its_end_is_asked_about_in_each_round() -> None:
    run = Run(100)
    for _ in range(10):
        run.round()
    run.run("7")
    run.usual = {run.jobs["7"].spec.rule: 60.0}
    run.round()
    assert sum("7" in run.round() for _ in range(5)) <= 1
    run.now = 61.0
    assert all("7" in run.round() for _ in range(5))


def test_jobs_that_last_longer_than_usual_leave_half_of_the_places() -> None:
    run = Run(100)
    for _ in range(10):
        run.round()
    late = [str(number) for number in range(50)]
    run.run(*late)
    run.usual = {run.jobs["0"].spec.rule: 1.0}
    run.round()
    run.now = 100.0
    assert set().union(*(run.round() for _ in range(20))) == set(run.jobs)


def test_new_jobs_come_first() -> None:
    run = Run(100)
    for _ in range(12):
        run.round()
    run.jobs["new"] = tracked(spec("j-new"))
    assert "new" in run.round()


def test_jobs_of_a_bundle_count_once_and_are_asked_about_together() -> None:
    run = Run(0)
    run.jobs = {f"{n}/j-{n}-{m}": tracked(spec(f"j-{n}-{m}")) for n in range(20) for m in range(5)}
    asked = run.round()
    assert len(asked) == 50
    assert len({one.partition("/")[0] for one in asked}) == 10
