"""Which sites jobs avoid, and what happens when the others do not run them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection

import pytest

from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.fickle import Bench
from tests.unit.interference import DOWN, Times

SHORT = pytest.mark.parametrize("bench", [{"avoid_limit": 60.0}], indirect=True)


def runs(bench: Bench, name: str, site: str) -> None:
    """Let a job run at a site, without an end."""
    bench.submit(name)
    bench.wait_for(lambda: name in bench.backend.jobs)
    bench.backend.statuses[bench.backend.jobs[name]] = JobStatus(JobState.RUNNING, "", site)
    bench.polls()


def avoided(bench: Bench, name: str) -> frozenset[str]:
    """Return the sites that the submission of a job avoids."""
    bench.wait_for(lambda: name in bench.backend.jobs)
    payloads = bench.backend.payloads
    return next(payload.avoid for payload in payloads if payload.spec.name == name)


def waits(bench: Bench, name: str, state: JobState = JobState.QUEUED) -> None:
    """Let a job wait in a queue."""
    bench.wait_for(lambda: name in bench.backend.jobs)
    bench.backend.statuses[bench.backend.jobs[name]] = JobStatus(state)
    bench.polls()


def outage(bench: Bench, times: int = 5) -> None:
    """Let the server not answer for some calls."""
    bench.backend.asks = Times(DOWN, times)
    bench.wait_for(lambda: any("answers again" in text for text in bench.said))


def test_a_job_avoids_the_sites_that_failed_it(bench: Bench) -> None:
    runs(bench, "j-0", "C")
    bench.submit("j-1")
    for name, site in (("j-1", "A"), ("j-1.1", ""), ("j-1.2", "B")):
        bench.fault(name, site=site)
    assert [avoided(bench, name) for name in ("j-1", "j-1.1", "j-1.2", "j-1.3")] == [
        frozenset(),
        frozenset("A"),
        frozenset("A"),
        frozenset("AB"),
    ]
    bench.submit("j-2")
    assert avoided(bench, "j-2") == frozenset()  # one fault says little of a site


def test_a_site_that_fails_job_after_job_gets_no_more(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1", "j-2", "j-3", "j-4")
    bench.fault("j-1", "j-2", site="A")
    bench.wait_for(lambda: {"j-1.1", "j-2.1"} <= bench.backend.jobs.keys())
    assert not any("in a row" in text for text in bench.said)
    bench.fault("j-3", "j-4", site="A")
    bench.wait_for(lambda: {"j-3.1", "j-4.1"} <= bench.backend.jobs.keys())
    bench.submit("j-5")
    assert avoided(bench, "j-5") == frozenset("A")
    (said,) = [text for text in bench.said if "in a row" in text]
    assert said.startswith("site A has failed 3 jobs in a row")


def test_the_only_site_that_has_run_jobs_is_not_avoided(bench: Bench) -> None:
    runs(bench, "j-0", "A")
    bench.submit("j-1", "j-2", "j-3")
    bench.fault("j-1", "j-2", "j-3", site="A")
    assert [avoided(bench, f"j-{number}.1") for number in (1, 2, 3)] == [frozenset()] * 3


def test_a_site_at_which_jobs_of_an_earlier_run_succeeded_runs_jobs(bench: Bench) -> None:
    bench.earlier("e-1", phase=Phase.SUCCEEDED)
    Journal(bench.database, "earlier", "fickle").seen({"e-1": JobStatus(JobState.DONE, "", "B")})
    bench.look()
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    assert avoided(bench, "j-1.1") == frozenset("A")


def test_the_backend_learns_which_sites_work(bench: Bench) -> None:
    bench.earlier("e-1", phase=Phase.SUCCEEDED)
    Journal(bench.database, "earlier", "fickle").seen({"e-1": JobStatus(JobState.DONE, "", "B")})
    bench.look()
    bench.submit("j-1", "j-2")
    bench.succeed("j-1", site="C")
    bench.fault("j-2", site="A")
    bench.wait_for(lambda: "C" in bench.backend.known_sites)
    assert bench.backend.known_sites == ["B", "C"]


@pytest.mark.parametrize("bench", [{"outage_limit": 1e6}], indirect=True)
def test_no_site_is_blamed_for_jobs_that_an_outage_has_ended(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    names = [f"j-{number}" for number in range(1, 13)]
    bench.submit(*names)
    bench.goes_on(1 + len(names))
    outage(bench)
    bench.fault(*names, site="A")
    again = [f"{name}.1" for name in names]
    assert {avoided(bench, name) for name in again} == {frozenset()}
    assert not any("in a row" in text for text in bench.said)
    assert not any("No more jobs are submitted" in text for text in bench.said)
    # What is submitted after the outage has nothing to do with it.
    bench.fault(again[0], site="A")
    assert avoided(bench, "j-1.2") == frozenset("A")


@pytest.mark.parametrize("bench", [{"outage_limit": 1e6}], indirect=True)
def test_a_site_is_blamed_again_some_time_after_an_outage(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.goes_on(2)
    outage(bench)
    bench.polls(4000)
    bench.fault("j-1", site="A")
    assert avoided(bench, "j-1.1") == frozenset("A")


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0}], indirect=True)
def test_a_job_that_waits_too_long_is_sent_again_without_avoiding_a_site(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1")
    assert avoided(bench, "j-1.1") == frozenset("A")
    bench.polls(580)
    assert "j-1.2" not in bench.backend.jobs
    waits(bench, "j-1.2")
    assert avoided(bench, "j-1.2") == frozenset()
    assert bench.backend.jobs["j-1.1"] in bench.backend.cancelled
    assert bench.phases()["j-1.1"] == "cancelled"
    assert bench.backend.jobs["j-1.1"] in bench.discarded()
    bench.polls(1500)  # now it waits as any other
    assert "j-1.3" not in bench.backend.jobs
    (said,) = [text for text in bench.said if "--grid-avoid-limit" in text]
    assert "10 min" in said
    assert "avoid A" in said
    # It has cost the job none of its resubmissions.
    bench.fault("j-1.2", site="C")
    bench.fault("j-1.3", site="C")
    bench.succeed("j-1.4", site="B")
    assert bench.ended(1)[0].success


@pytest.mark.parametrize("bench", [{"avoid_limit": 60.0, "outage_limit": 1e6}], indirect=True)
def test_a_job_whose_submission_was_not_answered_does_not_wait_without_end(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    bench.backend.answer = Times(DOWN)
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1")
    assert bench.backend.runs["j-1.1"] == 1
    bench.wait_for(lambda: "j-1.2" in bench.backend.jobs)
    assert avoided(bench, "j-1.2") == frozenset()


def waits_since_an_earlier_run(bench: Bench, phase: Phase) -> None:
    """Let an earlier run have left a job in a queue: its first submission ended at site A."""
    bench.earlier("e-1", state=None, phase=phase, origin="e-1")
    bench.earlier("e-1.1", origin="e-1")
    Journal(bench.database, "earlier", "fickle").seen({"e-1": JobStatus(JobState.FAILED, "", "A")})
    bench.database.change("UPDATE jobs SET accepted=accepted-550", [()])
    bench.look()
    bench.submit("j-1")
    bench.goes_on()
    bench.polls(60)


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0}], indirect=True)
def test_waiting_goes_on_in_the_next_run(bench: Bench) -> None:
    waits_since_an_earlier_run(bench, Phase.FAILED)
    waits(bench, "e-1.2")
    assert bench.backend.cancelled == ["id-e-1.1"]
    # Of three resubmissions, one was charged before, and none for this.
    bench.fault("e-1.2")
    bench.fault("e-1.3")
    bench.succeed("e-1.4")
    assert bench.ended(1)[0].success


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0}], indirect=True)
def test_a_job_that_an_earlier_run_has_released_goes_on_waiting(bench: Bench) -> None:
    waits_since_an_earlier_run(bench, Phase.CANCELLED)
    bench.polls(700)
    assert bench.backend.cancelled == []
    for number in (1, 2, 3):  # none of them was charged
        bench.fault(f"e-1.{number}")
    bench.succeed("e-1.4")
    assert bench.ended(1)[0].success


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0}], indirect=True)
def test_a_job_that_cannot_be_cancelled_goes_on_waiting(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1")
    bench.backend.unconfirmed = {bench.backend.jobs["j-1.1"]}
    bench.polls(700)
    assert bench.backend.jobs["j-1.1"] in bench.backend.cancelled
    assert "j-1.2" not in bench.backend.jobs
    bench.succeed("j-1.1", site="B")
    assert bench.ended(1)[0].success


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0, "outage_limit": 1e6}], indirect=True)
def test_time_in_which_the_server_is_down_is_no_waiting(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1")
    outage(bench, times=30)
    bench.polls(300)
    assert "j-1.2" not in bench.backend.jobs


@pytest.mark.parametrize("bench", [{"avoid_limit": 600.0}], indirect=True)
def test_a_job_that_avoids_no_site_may_wait(bench: Bench) -> None:
    bench.submit("j-1")
    waits(bench, "j-1")
    bench.polls(1500)
    assert bench.backend.cancelled == []


@SHORT
def test_a_job_that_waits_at_a_site_waits(bench: Bench) -> None:
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1", JobState.AT_SITE)
    bench.wait_for(lambda: "j-1.2" in bench.backend.jobs)
    assert avoided(bench, "j-1.2") == frozenset()


class SlowCancel:
    """Does not answer the first call to cancel jobs until it is let."""

    def __init__(self, bench: Bench) -> None:
        self._loop = bench.controller.loop
        self._opened = asyncio.Event()
        self.came = threading.Event()
        self.error: Exception | None = None

    async def __call__(self, ids: Collection[str]) -> set[str]:
        if not self.came.is_set():
            self.came.set()
            await self._opened.wait()
            if self.error is not None:
                raise self.error
        return set()

    def answers(self, error: Exception | None = None) -> None:
        self.error = error
        self._loop.call_soon_threadsafe(self._opened.set)


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> SlowCancel:
    """Return what holds the call that cancels a job, which has waited too long."""
    runs(bench, "j-0", "B")
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    waits(bench, "j-1.1")
    slow = SlowCancel(bench)
    monkeypatch.setattr(bench.backend, "cancel", slow)
    bench.wait_for(slow.came.is_set)
    return slow


def resubmitting(bench: Bench) -> list[str]:
    return [text for text in bench.said if "--grid-avoid-limit" in text]


@SHORT
def test_it_is_recorded_before_jobs_are_cancelled(bench: Bench, slow: SlowCancel) -> None:
    assert bench.left()["j-1.1"] == "cancelling"
    assert bench.controller.active
    assert not bench.controller.at_rest
    slow.answers(DOWN)
    bench.succeed("j-1.1", site="B")
    assert bench.ended(1)[0].success


@SHORT
@pytest.mark.parametrize("error", [None, DOWN], ids=["answered", "refused"])
def test_ctrl_c_cancels_them_as_all_others(
    bench: Bench, slow: SlowCancel, error: Exception | None
) -> None:
    assert bench.controller.cancel(1000, lambda: False) == []
    assert bench.said[-1] == "2 job(s) cancelled."
    slow.answers(error)
    bench.controller.close()
    assert bench.phases()["j-1.1"] == "cancelled"
    assert bench.backend.runs.keys() == {"j-0", "j-1", "j-1.1"}
    assert not resubmitting(bench)


@SHORT
def test_ctrl_c_names_those_that_are_not_confirmed(
    bench: Bench, slow: SlowCancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(ids: Collection[str]) -> set[str]:
        return set(ids)

    monkeypatch.setattr(bench.backend, "cancel", refuse)
    unconfirmed = bench.controller.cancel(1000, lambda: False)
    assert any(bench.backend.jobs["j-1.1"] in text for text in unconfirmed)
    slow.answers()
    bench.controller.close()
    assert bench.left()["j-1.1"] == "cancelling"


@SHORT
@pytest.mark.parametrize("answers", [SlowCancel.answers, lambda _: None], ids=["in time", "never"])
def test_the_next_run_cancels_those_that_a_run_leaves(
    bench: Bench, slow: SlowCancel, answers: Callable[[SlowCancel], None]
) -> None:
    bench.controller.leave(lambda: True, at_once=True)
    answers(slow)
    bench.controller.close(lambda: True)
    assert bench.left()["j-1.1"] == "cancelling"
    assert not resubmitting(bench)
