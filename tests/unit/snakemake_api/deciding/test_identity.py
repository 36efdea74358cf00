"""The identity of a decision is the same in another run, and changes with what is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from snakemake_executor_plugin_grid.snakemake_api.deciding.identity import identity
from snakemake_executor_plugin_grid.worker.decided.decision import (
    Benchmark,
    Command,
    DecidedOutput,
    Decision,
    Step,
)

STEP = Step(
    "one",
    jobid="1",
    outputs=(DecidedOutput("a"),),
    commands=(Command("true"),),
    benchmark=Benchmark("b", True, {"jobid": 1, "threads": 1, "params": {}, "resources": {}}),
)
OTHER = Step("two", jobid="2")


def decision(*layers: tuple[Step, ...], **values: object) -> Decision:
    return Decision(layers, **values)  # type: ignore[arg-type]


def test_what_differs_between_runs_does_not_count() -> None:
    benchmark = Benchmark(
        "b", True, {"jobid": 5, "threads": 2, "params": {}, "resources": {"x": 1}}
    )
    again = replace(STEP, jobid="5", threads=2, benchmark=benchmark)
    first = decision((STEP, OTHER), cores=1, temporary=("a", "b"))
    assert identity(first) == identity(decision((OTHER, again), cores=2, temporary=("b", "a")))
    assert identity(first) != identity(decision((STEP,), (OTHER,), temporary=("a", "b")))
    assert first.steps[0].benchmark == STEP.benchmark


@pytest.mark.parametrize(
    "change",
    [
        lambda step: replace(step, commands=(Command("echo 5"),)),
        lambda step: replace(step, outputs=(DecidedOutput("a", protected=True),)),
        lambda step: replace(step, inputs=("in",)),
        lambda step: replace(step, benchmark=Benchmark("b", True, {"params": {"x": 1}})),
    ],
)
def test_what_a_job_does_counts(change: Callable[[Step], Step]) -> None:
    assert identity(decision((STEP,))) != identity(decision((change(STEP),)))
