"""Which jobs go together, and what their bundle asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload
from snakemake_executor_plugin_grid.backends.bundles.packing import Policy, combined, pack
from snakemake_executor_plugin_grid.model.bundle_size import problem_of
from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from tests.unit.specs import spec


def payload(
    number: int, rule: str = "a", avoid: frozenset[str] = frozenset(), **fields: Any
) -> Payload:
    job = spec(f"{rule}-0123abcd-{number}", rule=rule, **fields)
    return Payload(job, "{}", (), Path("worker.pyz"), avoid)


def sizes(payloads: list[Payload], policy: Policy, **seconds: float) -> list[int]:
    return [len(group) for group in pack(payloads, policy, lambda one: seconds.get(one.rule))]


@pytest.mark.parametrize(
    ("size", "expected"), [("off", [1] * 7), ("1", [1] * 7), ("3", [3, 3, 1]), ("100", [7])]
)
def test_a_number_of_jobs(size: str, expected: list[int]) -> None:
    assert sizes([payload(n) for n in range(7)], Policy(size)) == expected


def test_the_resource_of_a_rule_comes_first() -> None:
    jobs = [payload(n, overrides={"bundle": "2"}) for n in range(4)]
    jobs += [payload(n, "b", overrides={"bundle": "off"}) for n in range(4, 6)]
    jobs += [payload(n, "c") for n in range(6, 9)]
    assert sorted(sizes(jobs, Policy("3"))) == [1, 1, 2, 2, 3]


def test_only_jobs_that_ask_for_the_same_go_together() -> None:
    jobs = [
        payload(1),
        payload(2, resources=Resources(memory_mb=1000)),
        payload(3, overrides={"site": "CERN"}),
        payload(4, avoid=frozenset({"CERN"})),
        payload(5, "other"),  # another rule may ask for the same
    ]
    groups = pack(jobs, Policy("10"), lambda _: None)
    assert sorted(len(group) for group in groups) == [1, 1, 1, 2]


def test_a_job_that_was_sent_before_stays_alone() -> None:
    again = Payload(spec("a-0123abcd-1.1"), "{}", (), Path("worker.pyz"))
    assert sorted(sizes([again, payload(2), payload(3)], Policy("10"))) == [1, 2]


def test_auto_aims_at_a_run_time() -> None:
    jobs = [payload(n) for n in range(1000)]
    policy = Policy("auto", seconds=1800, spread=2)
    assert sizes(jobs, policy, a=60) == [30] * 33 + [10]
    # Jobs longer than the aim, and those of which nothing is known, stay alone.
    assert sizes(jobs, policy, a=2000) == [1] * 1000
    assert sizes(jobs, policy) == [1] * 1000


def test_auto_spreads_jobs_first() -> None:
    policy = Policy("auto", seconds=1800, spread=10)
    assert sizes([payload(n) for n in range(10)], policy, a=1) == [1] * 10
    assert sizes([payload(n) for n in range(25)], policy, a=1) == [3] * 8 + [1]


def test_auto_takes_the_limit_of_a_job_of_which_nothing_is_known() -> None:
    jobs = [payload(n, resources=Resources(runtime_s=600)) for n in range(12)]
    assert sizes(jobs, Policy("auto", seconds=1800, spread=1)) == [3] * 4


def test_auto_counts_processors() -> None:
    jobs = [payload(n) for n in range(40)]
    policy = Policy("auto", seconds=60, processors=4, spread=1)
    assert sizes(jobs, policy, a=30) == [8] * 5


def of(specs: list[JobSpec], policy: Policy, seconds: float | None = None) -> Resources:
    return combined(specs, policy, lambda _: seconds)


def test_a_bundle_asks_for_what_its_jobs_need_side_by_side() -> None:
    one = Resources(processors=2, memory_mb=1000, disk_mb=500, runtime_s=600, gpus=1)
    jobs = [spec(f"a-0123abcd-{n}", resources=one) for n in range(10)]
    assert of(jobs, Policy("10")) == Resources(2, 1000, 500, 6000, 1)
    assert of(jobs, Policy("10", processors=9)) == Resources(8, 4000, 2000, 1800, 4)
    assert of(jobs[:1], Policy("10", processors=8)) == one


def test_the_time_of_a_bundle_is_what_its_jobs_usually_take() -> None:
    jobs = [spec(f"a-0123abcd-{n}", resources=Resources(runtime_s=3600)) for n in range(10)]
    assert of(jobs, Policy("10"), 60).runtime_s == 3600 + 900
    assert of(jobs, Policy("10"), 3500).runtime_s == 36000  # no more than all may take


def test_bad_sizes_are_named() -> None:
    assert problem_of("auto") == problem_of("off") == problem_of("20") == ""
    for bad in ("", "0", "-1", "1001", "2.5", "many", "٣"):
        assert problem_of(bad)
