from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.console import failure_message as messages
from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.reporting import words
from snakemake_executor_plugin_grid.reporting.failures import counted, failures, reason_of
from snakemake_executor_plugin_grid.reporting.intervals import timeline
from snakemake_executor_plugin_grid.reporting.measured import Measured, measured
from snakemake_executor_plugin_grid.reporting.summary import Summary, summarise

from .fabricated_runs import START, a_job, a_report, a_run, workflow

# What a worker measured


def test_what_a_report_tells() -> None:
    report = a_report(
        10.0, 1, 2, 30, 4, cpu_seconds=25, peak_memory_mb=7.5, bytes_in=3, bytes_out=4
    )
    assert measured(report) == Measured(
        times=report["times"],
        run_seconds=30.0,
        cpu_seconds=25.0,
        peak_memory_mb=7.5,
        bytes_in=3,
        bytes_out=4,
        host="wn1",
        site="LCG.DESY.de",
        reason="success",
    )


@pytest.mark.parametrize(
    "value", ["7", True, None, float("nan"), float("inf"), 10**400, -(10**400), [], {}]
)
def test_what_is_no_number_is_left_out(value: object) -> None:
    report = a_report(10.0, 1, 2, 30, 4)
    report["times"]["staging in"] = value
    report.update(cpu_seconds=value, peak_memory_mb=value, bytes_in=value, host=7)
    found = measured(report)
    assert list(found.times) == ["received", "running", "staging out", "ended"]
    assert (found.cpu_seconds, found.peak_memory_mb, found.bytes_in) == (None, None, 0)
    assert found.host == ""


def test_a_clock_that_went_back_on_the_worker_stands_still() -> None:
    assert list(measured(a_report(10.0, 5, -8, 3)).times.values()) == [10, 15, 15, 15]
    assert measured({"times": [1, 2]}) == measured({}) == Measured()


# Failures


def failed(name: str, sent: float = START, **changes: Any) -> JobRecord:
    return a_job(name, sent=sent, finished=sent + 9, **{"phase": Phase.FAILED, **changes})


@pytest.mark.parametrize(
    ("detail", "report", "reason"),
    [
        ("payload failed: exit code 3", {"reason": "payload failed"}, "payload failed"),
        ("it did not bring a.txt; see x", {"reason": "success"}, "it did not bring a.txt"),
        ("dirac has not listed it for 3600.5 s", {}, "dirac has not listed it for … s"),
        (
            messages.without_report(JobStatus(JobState.FAILED, "stalled")),
            {},
            "no report: stalled",
        ),
        (messages.without_report(JobStatus(JobState.DONE)), {}, "no report"),
        ("", {}, "no reason known"),
        ("x" * 200, {}, "x" * 69 + "…"),
    ],
)
def test_reasons(detail: str, report: dict[str, Any], reason: str) -> None:
    (span,) = timeline([failed("a", detail=detail, report=report)], START).spans
    assert reason_of(span) == reason


def test_what_became_of_failed_jobs() -> None:
    jobs = [
        failed("a", outputs=("a",)),
        failed("b", outputs=("b",)),
        failed("c", outputs=("c",)),
        failed("d", outputs=("d",)),
        a_job("a.1", origin="a", grid_id="77", sent=START + 1, phase=Phase.SUCCEEDED),
        a_job("b2", outputs=("b",), attempt=2, sent=START + 1, phase=Phase.OUTPUTS_INSTALLED),
        failed("c2", outputs=("c",), attempt=2, sent=START + 1),
    ]
    found = failures(timeline(jobs, START + 20).spans)
    assert {failure.job.name: failure.then for failure in found} == {
        "a": "resubmitted as 77: succeeded",
        "b": "succeeded on retry",
        "c": "retried: failed",
        "c2": "",
        "d": "",
    }


def test_failures_are_counted_by_reason_and_site() -> None:
    jobs = [
        failed("a", site="X", report={"reason": "killed"}),
        failed("b", site="Y", report={"reason": "killed"}),
        failed("c", site="Y", report={"reason": "killed"}),
        failed("d", report={"reason": "time limit"}),
    ]
    found = counted(failures(timeline(jobs, START).spans))
    assert found == {"killed": {"X": 1, "Y": 2}, "time limit": {"not known": 1}}
    assert list(found) == ["killed", "time limit"]


# All together


def summary(*jobs: JobRecord, going_on: bool = False, made: float = START + 500.0) -> Summary:
    return summarise("wf", [a_run(ended=None)], jobs, made, going_on=going_on)


def test_a_job_counts_once_however_often_it_was_submitted() -> None:
    totals = summary(
        failed("a"),
        a_job("a.1", origin="a", sent=START + 1, phase=Phase.SUCCEEDED),
        failed("b", outputs=("b",)),
        a_job("b2", outputs=("b",), sent=START + 1, phase=Phase.OUTPUTS_INSTALLED),
        failed("c"),
        a_job("d", phase=Phase.CANCELLED),
        a_job("e"),
        a_job("f", phase=Phase.SUBMITTING),
    ).totals
    assert (totals.jobs, totals.submissions) == (6, 8)
    assert (totals.succeeded, totals.failed, totals.succeeded_on_retry) == (2, 1, 2)
    assert (totals.cancelled, totals.open) == (1, 2)


def test_grid_jobs_are_counted_once() -> None:
    totals = summary(
        a_job("a", grid_id="5/a"),
        a_job("b", grid_id="5/b"),
        a_job("c", grid_id="5/c", run="other"),  # a local site counts from 1 again
        a_job("d", grid_id="6"),
    ).totals
    assert (totals.submissions, totals.grid_jobs) == (4, 3)


def test_numbers_are_added_up() -> None:
    reports = [
        a_report(START, 1, 1, 50, 1, cpu_seconds=40, bytes_in=100, bytes_out=10) for _ in range(2)
    ]
    jobs = [
        a_job(
            f"j{number}", phase=Phase.SUCCEEDED, ended=START + 90, finished=START + 99, report=one
        )
        for number, one in enumerate(reports)
    ]
    made = summary(*jobs)
    totals = made.totals
    assert (totals.run_seconds, totals.cpu_seconds) == (100, 80)
    assert (totals.bytes_in, totals.bytes_out) == (200, 20)
    assert (totals.stored_bytes, totals.reused_bytes) == (1000, 2000)
    assert (totals.begin, totals.end) == (START, START + 99)
    (site,) = made.sites
    assert (site.site, site.submissions, site.succeeded, site.failed) == ("LCG.DESY.de", 2, 2, 0)
    assert (site.bytes_in, site.bytes_out) == (200, 20)


def test_open_jobs_end_now_only_while_a_run_goes_on() -> None:
    jobs = (a_job("a"), a_job("b", sent=START + 7))
    assert summary(*jobs, going_on=True).totals.end == START + 500
    assert summary(*jobs).totals.end == START + 7


def test_nothing_known_is_no_error() -> None:
    made = summarise("wf", [], [], START, going_on=False)
    assert (made.totals.jobs, made.totals.begin, made.efficiency, made.sites) == (0, None, (), ())
    assert json.loads(json.dumps(made.to_json()))["totals"]["jobs"] == 0


def test_the_same_for_scripts() -> None:
    runs, jobs = workflow()
    made = summarise(
        "wf", runs, jobs, START, going_on=False, logs={jobs[0].name: "a.log", "other": "b.log"}
    )
    found = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert len(found["jobs"]) == len(jobs) == found["totals"]["submissions"]
    first = next(job for job in found["jobs"] if job["name"] == jobs[0].name)
    assert first["segments"][0] == {
        "kind": "uploading inputs",
        "begin": jobs[0].began,
        "end": jobs[0].sent,
    }
    assert [rule["rule"] for rule in found["efficiency"]] == [
        *("simulate", "reconstruct", "select", "plot"),
    ]
    assert {(one["rule"], one["resource"]) for one in found["advice"] if one["warning"]} == {
        ("select", "mem_mb")
    }
    assert [clock["host"] for clock in found["clocks"]] == ["wn07.desy.example.org"]
    assert sum(sum(c.values()) for c in found["failures"]["reasons"].values()) == len(
        found["failures"]["jobs"]
    )
    logs = [path for one in found["failures"]["jobs"] for path in one["logs"]]
    assert set(logs) <= {"a.log"}


def test_the_logs_of_the_rule_are_named_first() -> None:
    job = failed("a", report=a_report(START, 1, 1, logs=["logs/a.log"]))
    made = summarise(
        "wf", [a_run()], [job, failed("b")], START, going_on=False, logs={"a": "own.log"}
    )
    assert made.logs_of(job) == ["logs/a.log", "own.log"]
    assert [one["logs"] for one in made.to_json()["failures"]["jobs"]][1] == []


# Words


def test_times_are_in_a_zone() -> None:
    zone = timezone(timedelta(hours=2))
    assert words.moment(START, zone) == "2026-06-01 10:00:00"
    assert words.moment(None, zone) == "-"


@given(st.text())
def test_labels_have_no_tags_and_no_lines(text: str) -> None:
    for found in (words.label(text), words.paragraph(text).replace(words.LINE, "")):
        assert "<" not in found
        assert ">" not in found
        assert found.isprintable()


def test_labels_are_short() -> None:
    assert words.label("<b>&\n\x1b[31m") == "&lt;b&gt;&amp;  [31m"
    assert words.label("a" * 50) == "a" * 39 + "…"
