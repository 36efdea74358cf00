from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.console.job_log import JobLog, Line
from snakemake_executor_plugin_grid.model.state import UNKNOWN, JobState, JobStatus

QUEUED = JobStatus(JobState.QUEUED)
DONE = JobStatus(JobState.DONE)


def running(site: str = "") -> JobStatus:
    return JobStatus(JobState.RUNNING, site=site)


def held(detail: str = "") -> JobStatus:
    return JobStatus(JobState.HELD, detail)


def fit(status: JobStatus, grid_id: str | None = "4711") -> dict[str, Line]:
    """One job."""
    return {"fit": Line("rule fit (x=1)", grid_id, status)}


def many(number: int, status: Callable[[int], JobStatus], first: int = 0) -> dict[str, Line]:
    """Jobs that are numbered."""
    return {
        f"job-{place}": Line(f"rule plot (n={place})", str(5000 + place), status(place))
        for place in range(first, first + number)
    }


class Bench:
    """Tidings with a clock that is moved by hand; summaries are heard apart."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.said: list[str] = []
        self.job_log = JobLog(self.said.append, now=lambda: self.time)

    def round(self, statuses: dict[str, Line]) -> list[str]:
        """Return what is told of jobs in a round."""
        self.said.clear()
        self.job_log.update(statuses)
        return [line for line in self.said if not line.startswith("jobs: ")]

    def summary(self, statuses: dict[str, Line]) -> str:
        """Return the summary of a round that is late enough to have one."""
        self.time += 10
        self.round(statuses)
        return "".join(line for line in self.said if line.startswith("jobs: "))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_job_is_shown_until_it_changes(bench: Bench) -> None:
    status = running("S1")
    assert not bench.job_log.shows("fit", "4711", status)
    bench.round(fit(status))
    assert bench.job_log.shows("fit", "4711", status)
    assert not bench.job_log.shows("fit", "4712", status)
    assert not bench.job_log.shows("fit", "4711", running("S2"))
    bench.job_log.done("fit", success=True)
    assert not bench.job_log.shows("fit", "4711", status)


def test_the_way_of_one_job(bench: Bench) -> None:
    assert bench.round(fit(UNKNOWN, None)) == []
    assert bench.round(fit(UNKNOWN)) == ["rule fit (x=1): submitted as job 4711"]
    assert bench.round(fit(QUEUED)) == []
    assert bench.round(fit(held("no site can take it.\nSee …"))) == [
        "rule fit (x=1): job 4711 is on hold: no site can take it"
    ]
    assert bench.round(fit(held("something else"))) == []
    assert bench.round(fit(QUEUED)) == ["rule fit (x=1): job 4711 is back in the queue"]
    assert bench.round(fit(running("LCG.A"))) == ["rule fit (x=1): job 4711 runs at LCG.A"]
    assert bench.round(fit(running("LCG.A"))) == []
    assert bench.round(fit(JobStatus(JobState.QUEUED, "was put back into the queue"))) == [
        "rule fit (x=1): job 4711 is back in the queue: was put back into the queue"
    ]
    assert bench.round(fit(running("LCG.B"))) == ["rule fit (x=1): job 4711 runs at LCG.B"]
    assert bench.round(fit(DONE)) == []


def test_a_job_runs_only_when_that_is_known(bench: Bench) -> None:
    at_site = JobStatus(JobState.AT_SITE)
    (submitted,) = bench.round(fit(at_site))
    assert "submitted" in submitted
    assert bench.round(fit(at_site)) == []
    (runs,) = bench.round(fit(running("LCG.A")))
    assert "runs at LCG.A" in runs


def test_a_job_that_is_sent_again_has_a_new_id(bench: Bench) -> None:
    bench.round(fit(running("A")))
    assert bench.round(fit(UNKNOWN, None)) == []
    assert bench.round(fit(UNKNOWN, "4712")) == ["rule fit (x=1): submitted as job 4712"]
    assert bench.round(fit(running("A"), "4713")) == ["rule fit (x=1): job 4713 runs at A"]


def test_a_job_that_is_not_named_is_where_it_was(bench: Bench) -> None:
    bench.round(fit(running("A")))
    assert bench.round(fit(UNKNOWN)) == []
    assert bench.summary(fit(UNKNOWN)) == ""
    assert bench.round(fit(running("A"))) == []


def test_a_job_that_runs_before_it_was_seen_to_wait_has_one_line(bench: Bench) -> None:
    assert bench.round(fit(running())) == ["rule fit (x=1): job 4711 runs"]
    # PanDA may say later where.
    assert bench.round(fit(running("A"))) == ["rule fit (x=1): job 4711 runs at A"]
    assert bench.round(fit(running())) == []


def test_the_page_of_a_job_is_shown_when_it_is_submitted() -> None:
    said: list[str] = []
    job_log = JobLog(said.append, monitor_url=lambda grid_id: f"https://wms/{grid_id}")
    job_log.update(fit(QUEUED))
    job_log.update(fit(running("A")))
    assert said == [
        "rule fit (x=1): submitted as job 4711, see https://wms/4711",
        "jobs: 1 queued",
        "rule fit (x=1): job 4711 runs at A",
    ]


def test_five_changes_are_told_one_by_one_and_more_together(bench: Bench) -> None:
    assert len(bench.round(many(5, lambda _: QUEUED))) == 5
    assert bench.round(many(11, lambda _: QUEUED)) == ["6 jobs submitted: 5005 to 5010"]
    assert bench.round(many(11, lambda place: running("AB"[place % 2]))) == [
        "11 jobs run now: A 6, B 5"
    ]
    assert bench.round(many(11, lambda _: JobStatus(JobState.QUEUED, "lost its pilot"))) == [
        "11 jobs are back in the queue: lost its pilot"
    ]
    assert bench.round(many(11, lambda place: held("paused" if place else "on tape"))) == [
        "11 jobs are on hold now; 10 of them: paused"
    ]
    assert bench.round(many(11, lambda _: running())) == ["11 jobs run now"]
    assert bench.round(many(11, lambda _: held())) == ["11 jobs are on hold now"]


def test_one_line_for_each_kind_of_change_with_the_right_plurals(bench: Bench) -> None:
    bench.round(many(4, lambda place: running("A") if place == 1 else QUEUED))
    after = [running("A"), QUEUED, held("paused"), running("B")]
    last = many(4, after.__getitem__) | many(1, lambda _: QUEUED, first=4)
    assert len(bench.round(last)) == 5
    bench = Bench()
    bench.round(many(4, lambda place: running("A") if place == 1 else QUEUED))
    assert bench.round(last | many(1, lambda _: running("B"), first=5)) == [
        "1 job submitted: 5004",
        "3 jobs run now: B 2, A 1",
        "1 job is back in the queue",
        "1 job is on hold now: paused",
    ]
    assert bench.round(many(1, lambda _: running("C")) | many(9, lambda _: QUEUED, first=6)) == [
        "9 jobs submitted: 5006 to 5014",
        "1 job runs now: C 1",
    ]


def test_the_summary_has_all_counts_in_the_order_of_the_way(bench: Bench) -> None:
    for number in range(7):
        bench.job_log.done(f"early-{number}", success=number > 2)
    states = [
        *[QUEUED] * 3,
        *[JobStatus(JobState.AT_SITE)] * 2,
        *[running("LCG.B")] * 2,
        *[running("LCG.A")] * 2,
        *[running("LCG.C")] * 3,
        held(),
        DONE,
    ]
    assert bench.summary(many(14, states.__getitem__) | fit(UNKNOWN, None)) == (
        "jobs: 1 being submitted, 3 queued, 2 at the site, 7 running (LCG.C 3, LCG.A 2, LCG.B 2), "
        "1 on hold, 1 coming back, 4 done, 3 failed"
    )


def test_the_summary_names_a_few_sites() -> None:
    assert Bench().summary(many(9, lambda place: running(f"S{max(2, place)}"))) == (
        "jobs: 9 running (S2 3, S3 1, S4 1, S5 1, S6 1, 2 at 2 more)"
    )
    assert Bench().summary(many(3, lambda place: running("S1" if place else ""))) == (
        "jobs: 3 running (S1 2, site not known 1)"
    )
    assert Bench().summary(many(3, lambda _: running())) == "jobs: 3 running"


def test_summaries_come_when_counts_change_and_not_too_often(bench: Bench) -> None:
    bench.round({})
    assert bench.said == []
    bench.round(fit(QUEUED))
    assert bench.said[-1] == "jobs: 1 queued"
    bench.time += 9.5
    bench.round(fit(running("A")))
    assert bench.said == ["rule fit (x=1): job 4711 runs at A"]
    bench.time += 0.5
    bench.round(fit(running("A")))
    assert bench.said == ["jobs: 1 running (A 1)"]
    assert bench.summary(fit(running("A"))) == ""
    bench.job_log.done("fit", success=True)
    assert bench.summary({}) == "jobs: 1 done"


def test_the_last_counts_are_told_in_the_end(bench: Bench) -> None:
    bench.round(fit(QUEUED))
    bench.job_log.done("fit", success=False)
    bench.round({})
    assert bench.said == []
    bench.job_log.flush()
    bench.job_log.flush()
    assert bench.said == ["jobs: 1 failed"]


def test_what_ends_after_the_last_round_is_counted(bench: Bench) -> None:
    bench.round(fit(QUEUED) | many(1, lambda _: QUEUED))
    bench.job_log.done("fit", success=True)
    bench.job_log.flush()
    assert bench.said[-1] == "jobs: 1 queued, 1 done"


def test_a_run_without_jobs_says_nothing(bench: Bench) -> None:
    bench.job_log.flush()
    assert bench.said == []


def test_a_long_detail_is_cut(bench: Bench) -> None:
    bench.round(fit(QUEUED))
    (line,) = bench.round(fit(held("x" * 5000)))
    assert line.endswith("xx…")
    assert len(line) < 300


def test_ten_thousand_jobs_take_a_fraction_of_a_second(bench: Bench) -> None:
    sites = [f"LCG.{number}" for number in range(40)]
    waiting = many(10_000, lambda _: QUEUED)
    started = many(10_000, lambda place: running(sites[place % 40]))
    again = many(10_000, lambda place: running(sites[place % 40]))
    began = time.process_time()
    for statuses in (waiting, started, again):
        bench.summary(statuses)
    assert time.process_time() - began < 1.5


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from([f"job-{number}" for number in range(12)]),
            st.tuples(
                st.sampled_from([None, "1", "2"]),
                st.sampled_from(JobState),
                st.sampled_from(["", "A", "B"]),
            ),
        ),
        max_size=8,
    )
)
def test_a_round_never_has_more_than_a_handful_of_lines(
    rounds: list[dict[str, tuple[str | None, JobState, str]]],
) -> None:
    bench = Bench()
    for jobs in rounds:
        lines = {
            name: Line(name, grid_id, JobStatus(state, "why", site))
            for name, (grid_id, state, site) in jobs.items()
        }
        assert len(bench.round(lines)) <= 5
        assert len(bench.said) <= 6
        summary = bench.summary(lines)  # of the same round once more
        assert len(bench.said) == bool(summary)
    bench.said.clear()
    bench.job_log.flush()
    assert bench.said == []
