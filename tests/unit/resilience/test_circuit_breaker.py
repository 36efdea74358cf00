from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.resilience.circuit_breaker import CircuitBreaker

GRID = "the site could not fetch the job's input sandbox"
DISK = "the disk of the worker node ran full"
MINUTE = 60.0


class Bench:
    """A breaker with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.said: list[str] = []
        self.breaker = CircuitBreaker(self.said.append, lambda: self.time)
        self._count = 0

    def job(self) -> str:
        """Submit a new job."""
        self._count += 1
        self.breaker.submitting([f"job-{self._count}"])
        return f"job-{self._count}"

    def faults(self, number: int, reason: str = GRID, sites: str = "AB") -> list[bool]:
        """Submit some jobs, which the grid fails; return whether each fault costs."""
        jobs = [self.job() for _ in range(number)]
        return [
            self.breaker.fault(job, reason, sites[place % len(sites)] if sites else "")
            for place, job in enumerate(jobs)
        ]

    def probe(self, minutes: float) -> str:
        """Wait for a pause to end, and submit the one job that is allowed then."""
        assert self.breaker.allowance() == 0
        assert self.breaker.next_change() == pytest.approx(minutes * MINUTE)
        self.time += minutes * MINUTE - 1
        assert self.breaker.allowance() == 0
        self.time += 1
        assert self.breaker.allowance() == 1
        assert self.breaker.next_change() is None
        job = self.job()
        assert self.breaker.allowance() == 0
        return job


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def opened() -> Bench:
    bench = Bench()
    bench.faults(10)
    bench.said.clear()
    return bench


def test_ten_faults_for_the_same_reason_pause_submission(bench: Bench) -> None:
    bench.faults(9)
    assert (bench.breaker.open, bench.breaker.allowance(), bench.said) == (False, None, [])
    assert bench.breaker.next_change() is None
    bench.faults(1)
    assert (bench.breaker.open, bench.breaker.allowance()) == (True, 0)
    assert bench.said == [
        "10 of the last 10 jobs were failed by the grid for the same reason: 'the site could not "
        "fetch the job's input sandbox'; at sites A, B. No more jobs are submitted for 5 min, then "
        "one to try; those that are on the grid go on. `snakemake-grid status` shows how they "
        "stand; Ctrl-C ends the run."
    ]


def test_nine_of_the_last_ten_are_enough(bench: Bench) -> None:
    for _ in range(30):
        bench.breaker.fine(bench.job(), "A")
    bench.faults(3)
    bench.breaker.fine(bench.job(), "A")
    bench.faults(5)
    assert not bench.breaker.open
    bench.faults(1)
    assert bench.breaker.open
    assert bench.said[0].startswith("9 of the last 10 jobs were")


def test_eight_of_the_last_ten_are_not(bench: Bench) -> None:
    for _ in range(10):
        bench.faults(4)
        bench.breaker.fine(bench.job(), "A")
    assert (bench.breaker.open, bench.said) == (False, [])


def test_a_job_that_ends_well_never_opens_it(bench: Bench) -> None:
    bench.faults(9)
    bench.breaker.fine(bench.job())
    assert not bench.breaker.open
    bench.faults(1)
    assert bench.breaker.open


def test_two_reasons_half_and_half_do_not_open_it(bench: Bench) -> None:
    for _ in range(20):
        bench.faults(1)
        bench.faults(1, DISK)
    assert (bench.breaker.open, bench.said) == (False, [])


@pytest.mark.parametrize(("jobs", "opens"), [(1, False), (4, False), (5, True)])
def test_a_few_jobs_sent_again_and_again_prove_nothing(
    bench: Bench, jobs: int, opens: bool
) -> None:
    for turn in range(20):
        name = f"job-{turn % jobs}"
        bench.breaker.submitting([name])
        bench.breaker.fault(name, GRID)
    assert bench.breaker.open is opens


def test_a_site_that_fails_three_in_a_row_while_others_are_fine_does_not_open_it(
    bench: Bench,
) -> None:
    for _ in range(5):
        bench.faults(3, sites="A")
        for site in "BCD":
            bench.breaker.fine(bench.job(), site)
    assert not bench.breaker.open


def test_a_black_hole_does_not_open_it_while_another_site_is_good(bench: Bench) -> None:
    bench.breaker.fine(bench.job(), "B")
    assert all(bench.faults(40, sites="A"))
    assert not bench.breaker.open
    # B may have become bad meanwhile.
    bench.time += 11 * MINUTE
    bench.faults(1, sites="A")
    assert bench.breaker.open


def test_a_black_hole_opens_it_if_the_other_site_is_no_better(bench: Bench) -> None:
    bench.breaker.fine(bench.job(), "B")
    bench.faults(8, sites="A")
    bench.faults(1, DISK, sites="B")
    assert not bench.breaker.open
    bench.faults(1, sites="A")
    assert bench.breaker.open


def test_the_only_site_opens_it(bench: Bench) -> None:
    bench.breaker.fine(bench.job(), "A")
    bench.faults(9, sites="A")
    assert bench.breaker.open
    assert "; at site A. " in bench.said[0]


def test_it_closes_when_the_fault_turns_out_to_be_that_of_one_site(bench: Bench) -> None:
    elsewhere = [bench.job() for _ in range(3)]
    bench.faults(10, sites="A")
    assert bench.breaker.open
    bench.breaker.fine(elsewhere[0])
    bench.breaker.fine(elsewhere[1], "A")
    assert bench.breaker.open
    bench.breaker.fine(elsewhere[2], "B")
    assert bench.breaker.allowance() is None
    assert bench.said[1:] == [
        "Site B runs jobs: the fault is that of site A alone. Jobs are submitted again."
    ]


def test_a_fault_elsewhere_while_it_is_open_clears_that_site(bench: Bench) -> None:
    elsewhere = [bench.job() for _ in range(2)]
    bench.faults(10, sites="A")
    bench.breaker.fault(elsewhere[0], GRID, "B")
    bench.breaker.fine(elsewhere[1], "C")
    assert bench.breaker.open


def test_sites_that_are_not_known_are_not_named(bench: Bench) -> None:
    bench.faults(10, "", sites="")
    assert "same reason: 'no reason given'. No more jobs" in bench.said[0]


def test_a_long_reason_is_cut(bench: Bench) -> None:
    bench.faults(10, "much ado " * 100 + "\nand a traceback")
    assert len(bench.said[0]) < 600
    assert "much ado mu…'" in bench.said[0]
    assert "traceback" not in bench.said[0]


def test_a_good_probe_closes_it(opened: Bench) -> None:
    opened.breaker.fine(opened.probe(5), "A")
    assert (opened.breaker.open, opened.breaker.allowance()) == (False, None)
    assert opened.breaker.next_change() is None
    assert opened.said == [
        "Sending one job to try whether the grid runs jobs again.",
        "The grid has not failed the job sent to try. Jobs are submitted again.",
    ]


def test_pauses_double_up_to_an_hour(opened: Bench) -> None:
    for minutes in (5, 10, 20, 40, 60, 60):
        assert not opened.breaker.fault(opened.probe(minutes), GRID, "A")
    assert opened.breaker.allowance() == 0
    assert opened.said[:2] == [
        "Sending one job to try whether the grid runs jobs again.",
        "The grid has failed the job sent to try, for the same reason. The next one is sent in "
        "10 min.",
    ]
    assert len(opened.said) == 12


def test_a_probe_that_fails_for_another_reason_fails_nevertheless(opened: Bench) -> None:
    assert opened.breaker.fault(opened.probe(5), DISK, "A")
    assert opened.breaker.next_change() == 10 * MINUTE
    assert f"for another reason: '{DISK}'. The next" in opened.said[-1]


def test_pauses_begin_anew_when_it_opens_again(opened: Bench) -> None:
    opened.breaker.fault(opened.probe(5), GRID)
    opened.breaker.fine(opened.probe(10))
    opened.faults(9)
    assert not opened.breaker.open
    opened.faults(1)
    assert opened.breaker.next_change() == 5 * MINUTE


def test_jobs_that_were_in_flight_when_it_opened_change_nothing(bench: Bench) -> None:
    before = [bench.job() for _ in range(1000)]
    bench.faults(10)
    for job in before[:400]:
        assert not bench.breaker.fault(job, GRID, "A")
    for job in before[400:500]:
        bench.breaker.fine(job, "B")
    assert bench.breaker.next_change() == 5 * MINUTE
    bench.breaker.fine(bench.probe(5))
    for job in before[500:]:  # they do not open it again, nor do they pay
        assert not bench.breaker.fault(job, GRID, "A")
    assert not bench.breaker.open
    assert len(bench.said) == 3
    assert all(bench.faults(9))
    assert bench.faults(1) == [False]


def test_good_ends_of_jobs_in_flight_do_not_keep_it_from_opening_again(bench: Bench) -> None:
    before = [bench.job() for _ in range(5)]
    bench.faults(10)
    bench.breaker.fine(bench.probe(5))
    for job in before:
        bench.faults(2)
        bench.breaker.fine(job)
    assert bench.breaker.open


def test_jobs_that_were_on_their_way_to_the_backend_are_no_probes(opened: Bench) -> None:
    late = opened.job()
    assert opened.said == []
    opened.breaker.fault(late, GRID)
    assert opened.breaker.next_change() == 5 * MINUTE


def test_only_faults_for_its_own_reason_cost_nothing(opened: Bench) -> None:
    assert opened.faults(2) == [False, False]
    assert opened.faults(2, DISK) == [True, True]


def test_the_fault_that_opens_it_costs_nothing(bench: Bench) -> None:
    assert bench.faults(10) == [True] * 9 + [False]


def test_a_probe_that_is_lost_is_followed_by_another(opened: Bench) -> None:
    first = opened.probe(5)
    second = opened.probe(60)
    assert opened.said[1:] == ["The job sent to try has not ended in 1 h: sending another one."]
    opened.breaker.fault(second, GRID)
    assert opened.breaker.next_change() == 60 * MINUTE  # as the first is still on its way
    opened.breaker.fine(first)
    assert opened.breaker.allowance() is None


def test_a_probe_that_fails_late_pauses_in_full(opened: Bench) -> None:
    first = opened.probe(5)
    opened.probe(60)
    opened.time += 59 * MINUTE
    opened.breaker.fault(first, GRID)
    assert opened.breaker.next_change() == 10 * MINUTE


def test_a_probe_of_which_nothing_will_be_heard_makes_room_for_another(opened: Bench) -> None:
    opened.breaker.gone(opened.probe(5))
    assert opened.breaker.allowance() == 1
    opened.breaker.fine(opened.job())
    assert not opened.breaker.open


def test_a_probe_that_is_gone_does_not_shorten_a_pause(opened: Bench) -> None:
    first = opened.probe(5)
    opened.breaker.fault(opened.probe(60), GRID)
    opened.breaker.gone(first)
    assert opened.breaker.next_change() == 10 * MINUTE


def test_an_empty_batch_is_no_probe(opened: Bench) -> None:
    opened.time += 5 * MINUTE
    opened.breaker.submitting([])
    assert (opened.breaker.allowance(), opened.said) == (1, [])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "fine", "fault", "fault", "fault", "gone", "wait"]),
        st.integers(0, 7),
        st.sampled_from([GRID, GRID, GRID, GRID, DISK]),
        st.sampled_from(["A", "B", ""]),
    ),
    max_size=120,
)


@given(st.integers(0, 12), STEPS)
def test_it_keeps_its_promises_whatever_comes(
    faults: int, steps: list[tuple[str, int, str, str]]
) -> None:
    bench = Bench()
    bench.faults(faults)
    breaker = bench.breaker
    flying = [bench.job() for _ in range(8)]
    probes: set[str] = set()
    fresh = set(flying)
    ends: list[tuple[str, str] | None] = [(f"early-{number}", GRID) for number in range(faults)]
    for step, number, reason, site in steps:
        was_open, allowed = breaker.open, breaker.allowance()
        job = flying[number % len(flying)] if flying else None
        if step == "wait":
            bench.time += number * 10 * MINUTE
            assert breaker.open is was_open
        elif step == "submit":
            flying.append(bench.job())
            if not was_open:
                fresh.add(flying[-1])
            if allowed == 1:
                probes.add(flying[-1])
            assert breaker.open is was_open
        elif job is not None:
            flying.remove(job)
            if step == "gone":
                breaker.gone(job)
                assert breaker.open is was_open
            elif step == "fine":
                breaker.fine(job, site)
                assert not (breaker.open and (job in probes or not was_open))
                if not was_open and job in fresh:
                    ends.append(None)
            else:
                costs = breaker.fault(job, reason, site)
                assert breaker.open or not was_open  # no fault closes it
                if not was_open and job in fresh:
                    ends.append((job, reason))
                    assert costs or breaker.open
                if breaker.open and not was_open:
                    same = [end for end in ends[-10:] if end is not None and end[1] == reason]
                    assert len(ends) >= 10
                    assert len(same) >= 9
                    assert len({name for name, _ in same}) >= 5
                    assert not costs
            probes.discard(job)
        if was_open and not breaker.open:
            ends, probes, fresh = [], set(), set()
        assert breaker.allowance() in ((0, 1) if breaker.open else (None,))
        left = breaker.next_change()
        assert (left is not None) == (breaker.allowance() == 0)
        assert left is None or 0 < left <= 60 * MINUTE


@given(st.integers(0, 8), st.integers(0, 30))
def test_a_good_probe_always_closes_it(failed_before: int, stale: int) -> None:
    bench = Bench()
    before = [bench.job() for _ in range(stale)]
    bench.faults(10)
    for _ in range(failed_before):
        bench.time += bench.breaker.next_change() or 0
        bench.breaker.fault(bench.job(), GRID)
    bench.time += bench.breaker.next_change() or 0
    probe = bench.job()
    for job in before:
        bench.breaker.fault(job, GRID)
    bench.breaker.fine(probe)
    assert bench.breaker.allowance() is None
    assert sum("submitted again" in line for line in bench.said) == 1
