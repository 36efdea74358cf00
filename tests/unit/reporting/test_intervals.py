from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.reporting.intervals import (
    Clock,
    Kind,
    Span,
    concurrency,
    timeline,
)

from .fabricated_runs import a_job, a_report

NOW = 10_000.0


def finished(name: str = "make-r1-1", shift: float = 0.0, **changes: Any) -> JobRecord:
    """Return a job that went through every step, with a worker whose clock is so much ahead."""
    given: dict[str, Any] = {
        "phase": Phase.SUCCEEDED,
        **{"began": 1000.0, "sent": 1010.0, "accepted": 1015.0},
        **{"running": 1110.0, "ended": 1400.0, "finished": 1420.0},
        "report": a_report(1100.0 + shift, 10, 20, 200, 30),
    }
    return a_job(name, **{**given, **changes})


def parts(job: JobRecord, *others: JobRecord, now: float = NOW) -> list[tuple[Kind, float, float]]:
    spans = timeline([job, *others], now).spans
    span = next(span for span in spans if span.job is job)
    return [(part.kind, part.begin, part.end) for part in span.segments]


EVERY_STEP = [
    (Kind.UPLOADING, 1000, 1010),
    (Kind.SUBMITTING, 1010, 1015),
    (Kind.WAITING, 1015, 1100),
    (Kind.FETCHING, 1100, 1130),
    (Kind.RUNNING, 1130, 1330),
    (Kind.DELIVERING, 1330, 1360),
    (Kind.UNNOTICED, 1360, 1400),
    (Kind.RETRIEVING, 1400, 1420),
]


def test_a_job_from_its_beginning_to_its_end() -> None:
    assert parts(finished()) == EVERY_STEP


def test_a_clock_that_is_wrong_within_reason_is_believed() -> None:
    assert parts(finished(shift=30))[2:4] == [
        (Kind.WAITING, 1015, 1130),
        (Kind.FETCHING, 1130, 1160),
    ]
    assert timeline([finished(shift=30)], NOW).clocks == ()


def test_a_clock_that_is_ahead_is_moved_back_by_the_least_needed() -> None:
    found = parts(finished(shift=7200))
    assert found[2:4] == [(Kind.WAITING, 1015, 1140), (Kind.FETCHING, 1140, 1170)]
    assert found[5] == (Kind.DELIVERING, 1370, 1400)
    (clock,) = timeline([finished(shift=7200)], NOW).clocks
    assert clock == Clock("LCG.DESY.de", "wn1", 7160, 1)


def test_a_clock_that_is_behind_is_moved_forward_by_the_least_needed() -> None:
    found = parts(finished(shift=-7200))
    assert found[1:4] == [
        (Kind.FETCHING, 1010, 1040),
        (Kind.RUNNING, 1040, 1240),
        (Kind.DELIVERING, 1240, 1270),
    ]
    (clock,) = timeline([finished(shift=-7200)], NOW).clocks
    assert clock == Clock("LCG.DESY.de", "wn1", -7110, 1)


def test_what_one_job_tells_of_a_clock_holds_for_the_others_of_the_host() -> None:
    quick = finished("make-r1-2", 7200, ended=1361.0)
    found = parts(finished(shift=7200), quick)
    assert found[2:4] == [(Kind.WAITING, 1015, 1101), (Kind.FETCHING, 1101, 1131)]
    assert [clock.submissions for clock in timeline([finished(shift=7200), quick], NOW).clocks] == [
        2
    ]


def test_jobs_of_one_host_that_contradict_each_other_are_moved_one_by_one() -> None:
    ahead, behind = finished(shift=7200), finished("make-r1-2", shift=-7200)
    assert parts(ahead, behind)[3] == (Kind.FETCHING, 1140, 1170)
    assert parts(behind, ahead)[1] == (Kind.FETCHING, 1010, 1040)


def test_a_job_that_was_adopted_did_not_wait_for_its_answer() -> None:
    found = parts(finished(accepted=1390.0))
    assert found[1:3] == [(Kind.SUBMITTING, 1010, 1100), (Kind.FETCHING, 1100, 1130)]


def test_without_a_report_what_the_backend_said_is_shown() -> None:
    job = finished(report={}, phase=Phase.FAILED)
    assert parts(job) == [
        *EVERY_STEP[:2],
        (Kind.WAITING, 1015, 1110),
        (Kind.RUNNING, 1110, 1400),
        (Kind.RETRIEVING, 1400, 1420),
    ]


@pytest.mark.parametrize(
    ("known", "kind", "begin"),
    [
        ({}, Kind.SUBMITTING, 1010),
        ({"accepted": 1015.0}, Kind.WAITING, 1015),
        ({"accepted": 1015.0, "running": 1100.0}, Kind.RUNNING, 1100),
        ({"accepted": 1015.0, "running": 1100.0, "ended": 1200.0}, Kind.RETRIEVING, 1200),
    ],
)
def test_an_open_job_goes_on_until_now(known: dict[str, float], kind: Kind, begin: float) -> None:
    job = a_job(sent=1010.0, **known)
    assert parts(job)[-1] == (kind, begin, NOW)


def test_a_job_of_which_no_time_is_known_has_no_segments() -> None:
    (span,) = timeline([a_job(sent=None)], NOW).spans
    assert (span.segments, span.begin, span.end) == ((), None, None)


def test_a_job_that_an_earlier_version_noted_has_what_its_worker_tells() -> None:
    job = finished(began=None, sent=None, accepted=None, running=None, ended=None, finished=None)
    assert parts(job) == [part for part in EVERY_STEP if part[0].on_worker]


def test_submissions_of_the_same_job_share_a_row_one_after_the_other() -> None:
    first = finished("make-r1-2", phase=Phase.FAILED)
    again = finished(
        "make-r1-2.1",
        origin="make-r1-2",
        outputs=first.outputs,
        report=a_report(1500.0, 10, 20, 200, 30),
        **{
            "began": 1405.0,
            "sent": 1410.0,
            "accepted": 1425.0,
            "ended": 1800.0,
            "finished": 1810.0,
        },
    )
    other = finished("make-r1-1", began=900.0)
    rows = timeline([first, other, again], NOW).rows
    assert [[span.job.name for span in row] for row in rows] == [
        ["make-r1-1"],
        ["make-r1-2", "make-r1-2.1"],
    ]
    assert rows[1][1].begin == 1420.0  # the first was dealt with until then


def test_a_retry_is_in_the_row_of_its_job() -> None:
    first = finished("make-r1-1", outputs=("a",), phase=Phase.FAILED)
    retry = finished("make-r1-2", outputs=("a",), attempt=2, sent=2000.0, finished=2500.0)
    other = finished("make-r1-3", outputs=("b",), began=1001.0)
    rows = timeline([first, other, retry], NOW).rows
    assert [[span.job.name for span in row] for row in rows] == [
        ["make-r1-1", "make-r1-2"],
        ["make-r1-3"],
    ]


def test_the_site_is_what_the_job_says_or_else_the_backend() -> None:
    told = timeline([finished(site="CLOUD.x")], NOW).spans[0]
    untold = timeline([finished(site="CLOUD.x", report={})], NOW).spans[0]
    assert (told.site, untold.site) == ("LCG.DESY.de", "CLOUD.x")


def test_jobs_are_counted_over_time() -> None:
    later = finished("make-r1-2", **{"began": 1000.0, "accepted": 1050.0})
    counts = concurrency(timeline([finished(), later], NOW).spans)
    assert counts.times == (1015, 1050, 1100, 1130, 1330, 1360)
    assert counts.waiting == (1, 2, 0, 0, 0, 0)
    assert counts.running == (0, 0, 2, 2, 2, 0)


def test_many_times_become_few() -> None:
    jobs = [
        finished(
            f"make-r1-{number}", accepted=1015.0 + number / 100, report=a_report(1100.0, 1, 1, 1, 1)
        )
        for number in range(500)
    ]
    counts = concurrency(timeline(jobs, NOW).spans, points=50)
    assert 2 <= len(counts.times) <= 51
    assert max(counts.waiting) == 500
    assert (counts.running[-1], counts.waiting[-1]) == (0, 0)


# Whatever the clocks say

TIMES = st.one_of(st.none(), st.floats(0, 1e6), st.sampled_from([1000.0, 1000.5, 5000.0]))
ANYTHING = st.one_of(
    st.floats(),
    st.integers(),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=1),
    st.floats(900, 6000),
)
STEP_NAMES = ("received", "staging in", "running", "staging out", "ended", "more")


@st.composite
def jobs(draw: st.DrawFn) -> list[JobRecord]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        known = {
            name: draw(TIMES)
            for name in ("began", "sent", "accepted", "running", "ended", "finished")
        }
        times = draw(st.one_of(ANYTHING, st.dictionaries(st.sampled_from(STEP_NAMES), ANYTHING)))
        report = {
            "times": times,
            **{name: draw(ANYTHING) for name in ("host", "site", "reason", "cpu_seconds")},
        }
        found.append(
            a_job(
                f"make-r1-{number}",
                origin=draw(st.sampled_from(["make-r1-0", "make-r1-1"])),
                phase=draw(st.sampled_from(Phase)),
                report=draw(st.sampled_from([{}, report])),
                **known,
            )
        )
    return found


def in_order(spans: tuple[Span, ...]) -> bool:
    row = [part for span in spans for part in span.segments]
    return all(part.begin < part.end for part in row) and all(
        one.end <= other.begin for one, other in pairwise(row)
    )


@given(jobs())
def test_segments_never_overlap_or_go_back(found: list[JobRecord]) -> None:
    made = timeline(found, NOW)
    assert all(map(in_order, made.rows))
    assert sorted(span.job.name for span in made.spans) == sorted(job.name for job in found)
    counts = concurrency(made.spans)
    assert all(some >= 0 for some in (*counts.running, *counts.waiting))
    if counts.times:
        assert (counts.running[-1], counts.waiting[-1]) == (0, 0)


@given(st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(0, 100)), min_size=1, max_size=6))
def test_no_worker_has_a_job_before_it_was_sent_or_after_its_end(
    nodes: list[tuple[float, float]],
) -> None:
    found = [
        finished(f"make-r1-{number}", shift, running=None, sent=1010.0 + late)
        for number, (shift, late) in enumerate(nodes)
    ]
    for span in timeline(found, NOW).spans:
        on_worker = [part for part in span.segments if part.kind.on_worker]
        assert on_worker[0].begin >= (span.job.sent or 0)
        assert on_worker[-1].end <= (span.job.ended or 0)
        # Moved, not bent.
        assert span.seconds(Kind.RUNNING) == pytest.approx(200, abs=1e-3)
