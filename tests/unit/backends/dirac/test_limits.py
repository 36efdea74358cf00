"""What a server takes at most, and what a job may ask for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Rejected
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.backends.dirac.limits import Limits, cpu_time, read_limits
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.job import Resources
from tests.unit.backends.dirac.dirac_bench import Bench, name

DAYS_3 = Resources(runtime_s=3 * 86400)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, getattr(request, "param", Options()))


@pytest.mark.parametrize(
    ("runtime_s", "processors", "power", "expected"),
    [
        (3600, 1, 10.0, 36000),
        (3600, 16, 10.0, 57600),
        (3600.5, 1, 0.5, 3601),
        (1, 1, 10.0, 100),
        (86400, 8, 20.0, 500_000),
    ],
)
def test_cpu_time(runtime_s: float, processors: int, power: float, expected: int) -> None:
    assert (
        cpu_time(Resources(processors=processors, runtime_s=runtime_s), power, Limits()) == expected
    )


def asked(bench: Bench, number: int) -> int:
    """Return the CPUTime in the JDL of a job."""
    (job,) = bench.dirac.named(name(number))
    match = re.search(r"^CPUTime = (\d+);", job.jdl, re.MULTILINE)
    assert match is not None
    return int(match[1])


def test_a_long_job_asks_for_all_that_the_server_takes(bench: Bench) -> None:
    bench.dirac.job_limits = {"max_cpu_time": 5_000_000}
    bench.call(bench.backend.check())
    bench.submit(bench.payload(0, resources=DAYS_3))
    assert asked(bench, 0) == 2_592_000
    assert bench.said == []


@pytest.mark.parametrize("known", [True, False])
def test_each_rule_that_gets_less_time_than_it_asks_for_is_named_once(
    bench: Bench, known: bool
) -> None:
    bench.dirac.job_limits = {"max_cpu_time": 900_000} if known else {}
    bench.call(bench.backend.check())
    short = Resources(runtime_s=600)
    bench.submit(
        *(bench.payload(number, resources=DAYS_3) for number in range(2)),
        bench.payload(2, resources=DAYS_3, rule="merge"),
        bench.payload(3, resources=short, rule="short"),
    )
    bench.submit(bench.payload(4, resources=DAYS_3))
    limit = 900_000 if known else 500_000
    assert {asked(bench, number) for number in (0, 1, 2, 4)} == {limit}
    first, second = bench.said
    assert "rule sort:" in first
    assert "rule merge:" in second
    for said in bench.said:
        assert "72 h" in said or "3 d" in said
        assert str(limit) in said
        assert ("by default" in said) is not known


def test_a_preview_warns_as_well(bench: Bench) -> None:
    assert "CPUTime = 500000;" in bench.backend.describe(bench.payload(0, resources=DAYS_3))
    assert len(bench.said) == 1


@pytest.mark.parametrize("bench", [Options(priority=12)], indirect=True)
@pytest.mark.parametrize(("limits", "good"), [({"max_priority": 20}, True), ({}, False)])
def test_priorities_are_those_of_the_server(
    bench: Bench, limits: dict[str, Any], good: bool
) -> None:
    bench.dirac.job_limits = limits
    if good:
        bench.call(bench.backend.check())
    else:
        with pytest.raises(PermanentError, match=r"--grid-priority: .* 0 to 10, not 12"):
            bench.call(bench.backend.check())


def test_processors_are_those_of_the_server(bench: Bench) -> None:
    bench.dirac.job_limits = {"max_processors": 8}
    bench.call(bench.backend.check())
    (answer,) = bench.submit(bench.payload(0, resources=Resources(processors=9)))
    assert isinstance(answer, Rejected)
    assert "at most 8" in answer.message


def test_what_a_newer_client_reports_is_ignored() -> None:
    assert read_limits({"max_priority": 5, "max_gpus": 4}) == Limits(max_priority=5)
    assert not read_limits({}).known
