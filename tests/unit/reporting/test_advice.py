from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.reporting.advice import (
    Advice,
    advise,
    round_memory,
    round_minutes,
)
from snakemake_executor_plugin_grid.reporting.efficiency import Efficiency, efficiency, spread
from snakemake_executor_plugin_grid.reporting.intervals import timeline
from snakemake_executor_plugin_grid.worker.report import KILLED, PAYLOAD_FAILED, TIME_LIMIT

from .fabricated_runs import a_job, a_report


def job(
    number: int = 1,
    *,
    run_s: float = 600.0,
    busy: float = 1.0,
    memory: float = 800.0,
    reason: str = "success",
    **asked: float,
) -> JobRecord:
    return a_job(
        f"make-r1-{number}",
        phase=Phase.SUCCEEDED if reason == "success" else Phase.FAILED,
        requested={"processors": 1, "memory_mb": None, "runtime_s": None, **asked},
        report=a_report(
            *(1000.0, 1, 1, run_s, 1),
            reason=reason,
            cpu_seconds=busy * run_s,
            peak_memory_mb=memory,
        ),
    )


def judged(*found: JobRecord) -> Efficiency:
    (rule,) = efficiency(timeline(found, 1e9).spans)
    return rule


def advice(*found: JobRecord) -> dict[str, Advice]:
    return {one.resource: one for one in advise(judged(*found))}


def alike(count: int, **changes: Any) -> list[JobRecord]:
    return [job(number, **changes) for number in range(count)]


def test_what_was_used_over_what_was_asked() -> None:
    rule = judged(
        job(1, run_s=100, busy=1, memory=500, processors=2, memory_mb=1000, runtime_s=400),
        job(2, run_s=300, busy=2, memory=900, processors=2, memory_mb=1000, runtime_s=400),
    )
    assert (rule.rule, rule.submissions) == ("make", 2)
    assert rule.processors.asked == (2, 2)
    assert rule.processors.share == spread([0.5, 1.0])
    assert rule.memory_mb.share == spread([0.5, 0.9])
    assert rule.runtime_s.share == spread([0.25, 0.75])
    assert rule.runtime_s.used is not None
    assert (rule.runtime_s.used.lowest, rule.runtime_s.used.highest) == (100, 300)


def test_what_was_not_asked_for_has_no_share() -> None:
    rule = judged(job())
    assert (rule.memory_mb.asked, rule.memory_mb.share) == (None, None)
    assert rule.memory_mb.used == spread([800.0])
    assert advise(rule) == []


def test_a_job_without_a_report_is_not_judged() -> None:
    assert efficiency(timeline([a_job(), a_job("make-r1-2", report={"times": 3})], 1e9).spans) == []


def test_a_spread() -> None:
    found = spread([4.0, 1.0, 3.0, 2.0, 5.0])
    assert found is not None
    assert (found.number, found.lowest, found.lower, found.median) == (5, 1, 2, 3)
    assert (found.upper, found.highest) == (4, 5)
    assert spread([]) is None


def test_less_memory_is_advised() -> None:
    found = advice(*alike(39, memory=700, memory_mb=4000), job(40, memory=812, memory_mb=4000))
    assert found["mem_mb"].text == (
        "mem_mb=4000 requested, at most 812 MB used by 40 submissions: mem_mb=1200 would do"
    )
    assert (found["mem_mb"].value, found["mem_mb"].warning) == (1200, False)


def test_the_memory_of_jobs_with_several_processors_may_be_more() -> None:
    text = advice(*alike(5, memory=700, memory_mb=4000, processors=2))["mem_mb"].text
    assert text.endswith("(of the largest process: add the others if a job runs several at once)")


def test_less_runtime_is_advised() -> None:
    found = advice(*alike(5, run_s=1500, runtime_s=8 * 3600))
    assert found["runtime"].text == (
        "runtime=480 requested, at most 25 min used by 5 submissions: runtime=45 would do"
    )


def test_fewer_threads_are_advised() -> None:
    found = advice(*alike(4, busy=1.1, processors=8), job(5, busy=1.6, processors=8))
    assert found["threads"].text == (
        "threads=8 requested, 1.2 busy on average and 1.6 in the busiest of 5 submissions: "
        "threads=2 would do"
    )
    assert advice(*alike(5, busy=0.9, processors=2))["threads"].value == 1


@pytest.mark.parametrize(
    "found",
    [
        alike(4, memory=100, memory_mb=4000, runtime_s=36000, processors=8),
        alike(9, reason=PAYLOAD_FAILED, memory=100, memory_mb=4000, runtime_s=36000, processors=8),
        alike(9, memory=3000, memory_mb=4000, run_s=1800, runtime_s=3000, busy=7, processors=8),
    ],
    ids=["few jobs", "no success", "well asked"],
)
def test_no_advice_without_evidence_or_need(found: list[JobRecord]) -> None:
    assert advice(*found) == {}


def test_short_jobs_say_nothing_of_threads() -> None:
    assert advice(*alike(20, run_s=10, busy=0.5, processors=8)) == {}


def test_what_a_failed_job_used_counts_as_well() -> None:
    found = advice(
        *alike(9, memory=500, memory_mb=4000),
        job(9, reason=PAYLOAD_FAILED, memory=3500, memory_mb=4000),
    )
    assert found == {}


def test_less_is_not_advised_where_jobs_were_killed() -> None:
    found = alike(9, memory=500, memory_mb=4000)
    assert "mem_mb" in advice(*found)
    assert advice(*found, job(10, reason=KILLED, memory=500, memory_mb=4000)) == {}


def test_a_limit_that_is_close_is_a_warning() -> None:
    found = advice(*alike(9, memory=500, memory_mb=1000), job(10, memory=900, memory_mb=1000))
    assert found["mem_mb"].warning
    assert found["mem_mb"].text == (
        "mem_mb=1000 requested, 1 submission of 10 came within 10 % of it or beyond (at most "
        "900 MB used): mem_mb=1200 would be safe"
    )


def test_a_time_limit_that_was_met_is_a_warning() -> None:
    found = advice(*alike(9), job(10, reason=TIME_LIMIT, run_s=3600, runtime_s=3600))
    assert found["runtime"].warning
    assert found["runtime"].text == (
        "runtime=60 requested, 1 submission ran into it (at most 60 min used): "
        "runtime=90 would be safe"
    )


def test_more_processors_than_asked_are_a_warning() -> None:
    found = advice(job(1, busy=3.8), job(2, busy=1.0))
    assert found["threads"].warning
    assert found["threads"].text.endswith(
        "1 submission used more than requested; sites may kill such jobs: threads=5 would be right"
    )


def test_asked_by_a_function_the_advice_is_a_part() -> None:
    found = advice(*(job(n, memory=100 * n, memory_mb=1000 * n) for n in range(1, 9)))
    assert found["mem_mb"].text == (
        "mem_mb=1000…8000 requested, at most 10 % of it used by 8 submissions: 15 % of it would do"
    )
    assert found["mem_mb"].value is None


def test_rounding() -> None:
    assert [round_memory(size) for size in (3, 100, 101, 1056, 2400, 9000, 1e6)] == [
        *(200, 200, 200, 1200, 2500, 10000, 1_000_000),
    ]
    assert [round_minutes(some) for some in (0.1, 1, 31, 720, 721, 1500)] == [
        *(5, 5, 45, 720, 1440, 2160),
    ]


@given(
    st.lists(
        st.tuples(
            st.floats(1, 1e5),
            st.floats(0, 64),
            st.floats(1, 1e6),
            st.sampled_from(["success", "success", "success", KILLED, TIME_LIMIT]),
            st.sampled_from([1000, 1000, 1000, 4000, 1_000_000]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_advice_is_never_less_than_any_job_used(
    uses: list[tuple[float, float, float, str, int]], varied: bool
) -> None:
    found = [
        job(
            number,
            run_s=run_s,
            busy=busy,
            memory=memory,
            reason=reason,
            memory_mb=asked if varied else 1_000_000,
            runtime_s=asked * 60 if varied else 6e7,
            processors=64,
        )
        for number, (run_s, busy, memory, reason, asked) in enumerate(uses)
    ]
    given_advice = advice(*found)
    for name, used in (
        ("mem_mb", [memory for _, _, memory, _, _ in uses]),
        ("runtime", [run_s / 60 for run_s, _, _, _, _ in uses]),
        ("threads", [busy for run_s, busy, _, _, _ in uses if run_s >= 30]),
    ):
        one = given_advice.get(name)
        if one is not None and one.value is not None:
            margin = {"mem_mb": 1.25, "runtime": 1.45, "threads": 1.0}[name]
            assert one.value >= max(used) * margin or (name == "threads" and one.value == 1)
            assert one.value >= max(used) - 1e-6
