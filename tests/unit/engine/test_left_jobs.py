"""What becomes of jobs of earlier runs that are not there, not needed, or over."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.fickle import Bench, Fickle, outputs

A, B = outputs("a"), outputs("b")


# What is not there


def test_a_job_that_was_cancelled_meanwhile_on_the_server_is_no_success(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.CANCELLED)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.ended(1)  # as one that is cancelled while a run goes on
    assert not outcome.success
    assert "cancelled" in outcome.message
    assert bench.left() == {}
    bench.submit("j-2", outputs=A)
    bench.wait_for(lambda: bench.backend.runs == {"j-2": 1})


@pytest.mark.parametrize("phase", [Phase.SUBMITTING, Phase.SUBMITTED, Phase.CANCELLING])
def test_a_job_that_the_server_does_not_have_is_submitted_anew(bench: Bench, phase: Phase) -> None:
    bench.earlier("e-1", outputs=A, phase=phase, state=None)
    bench.look()
    assert bench.phases() == {"e-1": "cancelled"}
    assert bench.database.query("SELECT detail FROM jobs") == [("fickle has no such job",)]
    assert bench.backend.forgotten == ["e-1"]
    bench.submit("j-1", outputs=A)
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    assert bench.said == []


def arrives_late(bench: Bench, name: str, after: int) -> list[float]:
    """Let the server have a job at one of the times it is asked."""
    asked: list[float] = []

    def finds() -> None:
        asked.append(bench.clock.monotonic())
        if len(asked) > after:
            bench.backend.jobs[name] = f"id-{name}"

    bench.backend.finds = finds
    return asked


def test_a_submission_that_may_be_on_its_way_is_waited_for(bench: Bench) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    asked = arrives_late(bench, "e-1", 3)
    bench.look()
    assert len(asked) == 4
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.backend.runs == {}
    assert len([text for text in bench.said if "may still reach fickle" in text]) == 1


def test_a_submission_that_is_to_be_cancelled_may_be_on_its_way_as_well(bench: Bench) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    Journal(bench.database, "earlier", "fickle").cancelling(["e-1"])  # before the answer came
    arrives_late(bench, "e-1", 2)
    bench.look()
    assert bench.backend.cancelled == ["id-e-1"]
    assert bench.phases() == {"e-1": "cancelled"}


def test_a_submission_that_never_comes_is_waited_for_no_longer_than_it_may_take(
    bench: Bench,
) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    began = bench.clock.monotonic()
    bench.look()
    assert bench.clock.monotonic() - began < 30
    assert bench.phases() == {"e-1": "cancelled"}
    bench.look()
    assert len(bench.said) == 1


@pytest.mark.parametrize("age", [3600.0, -3600.0])
def test_clocks_that_differ_make_the_waiting_no_longer(bench: Bench, age: float) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    bench.database.change("UPDATE jobs SET changed=?", [(bench.clock.time() - age,)])
    asked = arrives_late(bench, "e-1", 1000)
    began = bench.clock.monotonic()
    bench.look()
    assert bench.clock.monotonic() - began < 30
    assert (len(asked) > 1) is (age < 0)


def test_jobs_whose_submission_was_answered_are_not_waited_for(bench: Bench) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, state=None)
    bench.earlier("e-2", outputs=B, phase=Phase.SUBMITTING)
    bench.look()
    assert bench.said == []


# What is not needed


def test_jobs_that_are_not_needed_stay_as_they_are(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.earlier("e-2", outputs=B, phase=Phase.SUBMITTING)
    bench.look()
    bench.settle("work/c")
    assert bench.backend.cancelled == []
    assert bench.left() == {"e-1": "submitted", "e-2": "submitting"}
    (said,) = bench.said
    assert said.startswith("2 job(s) of earlier runs are on the grid that this run does not need")
    assert sorted(bench.controller.on_the_grid) == [
        "id-e-1 (rule sort (sample=a))",
        "id-e-2 (rule sort (sample=a))",
    ]


def test_a_job_that_is_needed_later_is_adopted_then(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.settle()  # a checkpoint has not told yet what is needed
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.backend.runs == {}


def test_jobs_on_another_backend_are_told_of(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.earlier("e-2", outputs=B)
    bench.database.change("UPDATE jobs SET backend='dirac', endpoint='a.example.org'", [()])
    bench.look()
    bench.settle("work/a")
    assert bench.said == [
        "2 job(s) of earlier runs are on dirac (a.example.org), which this run does not reach: "
        "they stay as they are (snakemake-grid cancel ends them)."
    ]


def test_jobs_of_another_place_are_left_alone_and_told_of_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.earlier("e-1", outputs=A)
    bench.earlier("e-2", outputs=B, identity="before")
    bench.earlier("e-3", phase=Phase.CANCELLING)
    bench.earlier("e-4", phase=Phase.FAILED)
    bench.database.change("UPDATE jobs SET endpoint='there'", [()])
    monkeypatch.setattr(Fickle, "endpoint", property(lambda _: "here"))
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    bench.submit("j-2", outputs=B)
    bench.goes_on(2)
    assert bench.backend.runs == {"j-1": 1, "j-2": 1}
    assert bench.backend.cancelled == []
    assert bench.discarded() == []
    assert bench.backend.forgotten == []
    (said,) = bench.said
    assert said.startswith("3 job(s) of earlier runs are on fickle (there), which this run does")
    rows = bench.database.query(
        "SELECT name, run, endpoint, phase, needs_cleanup FROM jobs ORDER BY name"
    )
    assert rows == [
        ("e-1", "earlier", "there", "submitted", 1),
        ("e-2", "earlier", "there", "submitted", 1),
        ("e-3", "earlier", "there", "cancelling", 1),
        ("e-4", "earlier", "there", "failed", 1),
        ("j-1", "run", "here", "submitted", 1),
        ("j-2", "run", "here", "submitted", 1),
    ]


# What the server keeps


def kept(bench: Bench) -> list[str]:
    """Return the jobs that are over, but of which the server has not been told."""
    return sorted(Journal(bench.database, "later", "fickle").needs_cleanup())


def test_the_server_is_told_of_jobs_that_were_over_when_a_run_died(bench: Bench) -> None:
    bench.earlier("e-1", phase=Phase.SUCCEEDED, state=JobState.DONE)
    bench.earlier("e-2", phase=Phase.FAILED, state=JobState.FAILED)
    bench.earlier("e-3", phase=Phase.CANCELLED, state=None)  # it has let go by itself
    bench.earlier("e-4", outputs=A)
    bench.earlier("e-5", outputs=B, phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    assert kept(bench) == ["e-1", "e-2", "e-3"]
    bench.look()
    assert [set(ids) for ids in bench.backend.discarded] == [{"id-e-1", "id-e-2"}]
    assert kept(bench) == []
    assert bench.left() == {"e-4": "submitted", "e-5": "outputs installed"}
    bench.look()
    assert len(bench.backend.discarded) == 1
    assert bench.said == []


def test_jobs_that_come_to_their_end_are_kept_no_more(bench: Bench) -> None:
    bench.submit("j-1", "j-2", "j-3")
    bench.wait_for(lambda: len(bench.backend.jobs) == 3)
    bench.succeed("j-1")
    bench.backend.statuses["id-1"] = JobStatus(JobState.FAILED, "exit code 1")
    assert len(bench.ended(2)) == 2
    assert bench.discarded() == ["id-1"]
    assert bench.phases() == {"j-1": "outputs installed", "j-2": "failed", "j-3": "submitted"}
    bench.wait_for(lambda: kept(bench) == [])
    bench.acknowledge("j-1")
    bench.wait_for(lambda: kept(bench) == [])
    assert bench.discarded() == ["id-0", "id-1"]
    assert bench.controller.cancel(1000, lambda: False) == []
    assert bench.discarded() == ["id-0", "id-1", "id-2"]
    assert kept(bench) == []


@pytest.mark.parametrize("call", ["find", "discard"])
def test_a_server_that_cannot_be_told_is_told_by_a_later_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    async def refuses(some: object) -> None:
        raise PermanentError("not now")

    bench.earlier("e-1", phase=Phase.FAILED)
    with monkeypatch.context() as patch:
        patch.setattr(bench.backend, call, refuses)
        bench.look()
    assert kept(bench) == ["e-1"]
    assert bench.said == []
    bench.look()
    assert kept(bench) == []
    assert bench.discarded() == ["id-e-1"]


def test_a_success_that_snakemake_has_noted_is_let_go(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    bench.look()
    bench.settle("work/b")
    assert bench.phases() == {"e-1": "succeeded"}
    assert bench.discarded() == ["id-e-1"]
    assert bench.said == []
    assert bench.controller.on_the_grid == []


def test_a_success_that_snakemake_may_not_have_noted_stays(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    bench.look()
    bench.settle("work/b", incomplete=True)
    assert bench.left() == {"e-1": "outputs installed"}
    assert bench.discarded() == []


def test_a_success_that_snakemake_has_not_noted_is_taken_in_once_more(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    bench.look()
    bench.settle("work/a")
    assert bench.discarded() == []
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.ended(1)
    assert outcome.success
    assert bench.backend.runs == {}
    bench.acknowledge("j-1")
    assert bench.phases() == {"e-1": "succeeded"}


def test_a_success_of_which_the_server_has_let_go_is_a_success(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.OUTPUTS_INSTALLED, state=None)
    bench.look()
    assert bench.phases() == {"e-1": "succeeded"}
    bench.submit("j-1", outputs=A)  # it was not what Snakemake wanted
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})


def test_a_success_that_was_kept_from_running_again_is_taken_in_once_more(bench: Bench) -> None:
    # It was put back into the queue after its outputs had come, and cancelled for that.
    bench.earlier("e-1", outputs=A, phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    bench.backend.statuses["id-e-1"] = JobStatus(JobState.CANCELLED)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A)
    assert bench.ended(1)[0].success
    assert bench.backend.runs == {}


# What is to be cancelled


def test_what_was_to_be_cancelled_is_cancelled(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.CANCELLING)
    bench.look()
    assert bench.backend.cancelled == ["id-e-1"]
    assert bench.phases() == {"e-1": "cancelled"}
    bench.submit("j-1", outputs=A)
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})


def test_what_cannot_be_cancelled_is_tried_again_by_each_run(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.CANCELLING)
    bench.backend.unconfirmed = {"id-e-1"}
    bench.look()
    assert bench.left() == {"e-1": "cancelling"}
    assert bench.said[-1].startswith("Not confirmed to be cancelled: id-e-1.")
    bench.backend.unconfirmed = set()
    bench.look()
    assert bench.left() == {}


def test_jobs_of_a_run_that_died_before_this_version_are_cancelled(bench: Bench) -> None:
    bench.earlier("e-1", identity="")
    bench.earlier("e-2", identity="", phase=Phase.SUBMITTING, state=None)
    bench.look()
    assert bench.backend.cancelled == ["id-e-1"]
    assert bench.phases() == {"e-1": "cancelled", "e-2": "cancelled"}
    assert any("Cancelling 1 job(s) of an earlier run" in text for text in bench.said)
