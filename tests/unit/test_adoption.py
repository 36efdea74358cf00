"""What a run makes of the jobs that earlier runs have left on the grid."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid import adoption, room
from snakemake_executor_plugin_grid.errors import (
    DiskFullError,
    EndingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.flight import Plan
from snakemake_executor_plugin_grid.journal import Journal, Phase
from snakemake_executor_plugin_grid.states import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.fickle import IDENTITY, Bench, Fickle, Times, outputs
from tests.unit.specs import spec

PATIENT = pytest.mark.parametrize("bench", [{"outage_limit": 60.0}], indirect=True)
DOWN = TransientError("the server is down")
A, B = outputs("a"), outputs("b")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "_LOOK_AGAIN", 0.02)
    monkeypatch.setattr(room, "_PAUSE", 0.01)


def going_on(bench: Bench, count: int = 1) -> None:
    """Wait until so many jobs are on the grid, and asked for."""
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == count)
    bench.polls(0.05)


# What is still the same


def test_a_job_that_is_on_the_grid_goes_on(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A, jobid="9")
    going_on(bench)
    assert bench.backend.runs == {}
    assert bench.backend.cancelled == []
    bench.succeed("e-1")
    (outcome,) = bench.outcomes(1)
    assert (outcome.name, outcome.success, outcome.grid_id) == ("j-1", True, "id-e-1")
    bench.acknowledge("j-1")
    assert bench.phases() == {"e-1": "succeeded"}
    assert bench.discarded() == ["id-e-1"]
    assert bench.database.query("SELECT run, jobid FROM jobs") == [("run", "9")]
    assert bench.said == [
        "Going on with 1 job(s) of an earlier run: 1 on the grid, 0 that have ended meanwhile."
    ]


def test_jobs_that_have_ended_meanwhile_are_taken_in_and_not_run_again(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.DONE)
    bench.earlier("e-2", outputs=B, state=JobState.RUNNING)
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.outcomes(1)
    assert (outcome.name, outcome.success) == ("j-1", True)
    bench.submit("j-2", outputs=B)
    going_on(bench)
    assert bench.backend.runs == {}
    assert bench.phases() == {"e-1": "landed", "e-2": "submitted"}
    assert [text.rpartition(": ")[2] for text in bench.said] == [
        "0 on the grid, 1 that have ended meanwhile.",
        "1 on the grid, 0 that have ended meanwhile.",
    ]


def test_a_job_that_has_failed_meanwhile_fails_with_what_it_said(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.FAILED)
    bench.look()
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.outcomes(1)
    assert not outcome.success
    assert "it said this" in outcome.message
    assert bench.backend.runs == {}


def test_ids_are_those_of_the_server_by_the_name_of_the_job(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, grid_id="id-old")
    bench.backend.jobs["e-1"] = "id-new"
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.succeed("e-1")
    assert bench.outcomes(1)[0].grid_id == "id-new"
    assert bench.database.query("SELECT grid_id FROM jobs") == [("id-new",)]


def test_a_submission_whose_answer_was_lost_is_found_by_its_name(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING)
    adopted: list[str] = []
    find = bench.backend.find

    async def adopt(names: Collection[str]) -> dict[str, str]:
        adopted.extend(names)
        return dict(await find(names))

    bench.backend.adopt = adopt  # type: ignore[method-assign]
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    assert adopted == ["e-1"]  # it may have been created without having been started
    assert bench.backend.runs == {}
    assert bench.phases() == {"e-1": "submitted"}


def test_a_job_that_the_server_does_not_name_now_is_waited_for(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.backend.statuses = {}
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    assert bench.backend.runs == {}
    bench.succeed("e-1")
    assert bench.outcomes(1)[0].success


@pytest.mark.parametrize("wildcards", [(("sample", "a"),), ()])
def test_jobs_without_outputs_are_known_by_rule_and_wildcards(
    bench: Bench, wildcards: tuple[tuple[str, str], ...]
) -> None:
    bench.earlier("e-1", wildcards=wildcards)
    bench.earlier("e-2", wildcards=(("sample", "ü\"'"),))
    bench.look()
    bench.settle()
    bench.submit("j-1", wildcards=wildcards)
    bench.submit("j-2", wildcards=(("sample", "ü\"'"),))
    going_on(bench, 2)
    assert bench.backend.runs == {}
    bench.submit("j-3", wildcards=(("sample", "other"),))
    bench.wait_for(lambda: bench.backend.runs == {"j-3": 1})


def test_a_job_is_adopted_once(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.FAILED)
    bench.look()
    bench.submit("j-1", outputs=A)
    assert not bench.outcomes(1)[0].success
    bench.submit("j-2", outputs=A)  # Snakemake's next attempt
    bench.wait_for(lambda: bench.backend.runs == {"j-2": 1})


def test_what_one_run_has_adopted_the_next_may_adopt(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    assert bench.left() == {"e-1": "submitted"}
    (left,) = Journal(bench.database, "later", "fickle").left()
    assert left.identity == "the same"


def test_jobs_that_are_adopted_together_are_told_of_in_one_line(bench: Bench) -> None:
    plans = []
    for number in range(6):
        ended = number < 2
        bench.earlier(
            f"e-{number}",
            outputs=outputs(f"{number}"),
            state=JobState.DONE if ended else JobState.RUNNING,
        )
        job = spec(f"j-{number}", outputs=outputs(f"{number}"))
        plans.append(Plan(job, Runtime("inherit"), identity=IDENTITY))
    bench.look()
    bench.controller.submit(plans)
    assert len(bench.outcomes(2)) == 2
    assert bench.said == [
        "Going on with 6 job(s) of an earlier run: 4 on the grid, 2 that have ended meanwhile."
    ]


# What has changed


def test_a_job_that_has_changed_is_cancelled_and_submitted_anew(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, identity="before")
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A, identity="after")
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    assert bench.backend.cancelled == ["id-e-1"]
    assert bench.phases()["e-1"] == "cancelled"
    assert bench.discarded() == ["id-e-1"]
    assert bench.said == [
        "Cancelling 1 job(s) of an earlier run whose rule, inputs or parameters have changed since."
    ]


def test_what_a_changed_job_has_made_is_not_taken_in(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, identity="before", state=JobState.DONE)
    inbox = Path(bench.store.inbox("e-1").removeprefix("file://"))
    inbox.mkdir(parents=True)
    bench.look()
    bench.submit("j-1", outputs=A, identity="after")
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    bench.polls(0.05)
    assert bench.phases() == {"e-1": "cancelled", "j-1": "submitted"}
    assert not inbox.exists()


def test_a_changed_job_that_could_not_be_cancelled_is_cancelled_by_the_next_run(
    bench: Bench,
) -> None:
    bench.earlier("e-1", outputs=A, identity="before")
    bench.backend.unconfirmed = {"id-e-1"}
    bench.look()
    bench.submit("j-1", outputs=A, identity="after")
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    assert bench.said[-1] == ("Not confirmed to be cancelled: id-e-1. The next run tries it again.")
    # Also if that needs no such job any more.
    assert bench.left()["e-1"] == "cancelling"


def test_jobs_of_which_only_part_is_the_same_give_way(bench: Bench) -> None:
    bench.earlier("group", outputs=A + B, identity="both")
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    bench.submit("j-2", outputs=B)
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1, "j-2": 1})
    assert set(bench.backend.cancelled) == {"id-group"}
    assert bench.phases()["group"] == "cancelled"


ORDER = [
    (JobState.DONE, JobState.RUNNING),
    (JobState.DONE, JobState.QUEUED),
    (JobState.DONE, JobState.FAILED),
    (JobState.RUNNING, JobState.QUEUED),
    (JobState.RUNNING, JobState.FAILED),
    (JobState.QUEUED, JobState.FAILED),
    (JobState.RUNNING, JobState.HELD),
]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("further", "other"), ORDER)
def test_of_two_submissions_of_a_job_the_furthest_is_taken(
    bench: Bench, further: JobState, other: JobState, turned: bool
) -> None:
    taken, left = ("e-2", "e-1") if turned else ("e-1", "e-2")
    bench.earlier(taken, outputs=A, state=further)
    bench.earlier(left, outputs=A, state=other)
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.wait_for(lambda: bool(bench.backend.cancelled))
    assert bench.backend.cancelled == [f"id-{left}"]
    bench.wait_for(lambda: bench.phases()[left] == "cancelled")
    assert bench.backend.runs == {}
    bench.succeed(taken)
    assert bench.outcomes(1)[0].grid_id == f"id-{taken}"


# What is not there


def test_a_job_that_was_cancelled_meanwhile_on_the_server_is_no_success(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.CANCELLED)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.outcomes(1)  # as one that is cancelled while a run goes on
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
        asked.append(time.monotonic())
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
    going_on(bench)
    assert bench.backend.runs == {}
    assert len([text for text in bench.said if "may be on their way to fickle yet" in text]) == 1


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
    bench.backend.settle_seconds = 0.2
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    began = time.monotonic()
    bench.look()
    assert time.monotonic() - began < 2
    assert bench.phases() == {"e-1": "cancelled"}
    bench.look()
    assert len(bench.said) == 1


@pytest.mark.parametrize("age", [3600.0, -3600.0])
def test_clocks_that_differ_make_the_waiting_no_longer(bench: Bench, age: float) -> None:
    bench.backend.settle_seconds = 0.2
    bench.earlier("e-1", outputs=A, phase=Phase.SUBMITTING, state=None)
    bench.database.change("UPDATE jobs SET changed=?", [(time.time() - age,)])
    asked = arrives_late(bench, "e-1", 1000)
    began = time.monotonic()
    bench.look()
    assert time.monotonic() - began < 2
    assert (len(asked) > 1) is (age < 0)


def test_jobs_whose_submission_was_answered_are_not_waited_for(bench: Bench) -> None:
    bench.backend.settle_seconds = 20.0
    bench.earlier("e-1", outputs=A, state=None)
    bench.earlier("e-2", outputs=B, phase=Phase.SUBMITTING)
    began = time.monotonic()
    bench.look()
    assert time.monotonic() - began < 2
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
    going_on(bench)
    assert bench.backend.runs == {}


def test_jobs_on_another_backend_are_told_of(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.earlier("e-2", outputs=B)
    bench.database.change("UPDATE jobs SET backend='dirac', place='a.example.org'", [()])
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
    bench.database.change("UPDATE jobs SET place='there'", [()])
    monkeypatch.setattr(Fickle, "place", property(lambda _: "here"))
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    bench.submit("j-2", outputs=B)
    going_on(bench, 2)
    assert bench.backend.runs == {"j-1": 1, "j-2": 1}
    assert bench.backend.cancelled == []
    assert bench.discarded() == []
    assert bench.backend.forgotten == []
    (said,) = bench.said
    assert said.startswith("3 job(s) of earlier runs are on fickle (there), which this run does")
    rows = bench.database.query("SELECT name, run, place, phase, kept FROM jobs ORDER BY name")
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
    return sorted(Journal(bench.database, "later", "fickle").kept())


def test_the_server_is_told_of_jobs_that_were_over_when_a_run_died(bench: Bench) -> None:
    bench.earlier("e-1", phase=Phase.SUCCEEDED, state=JobState.DONE)
    bench.earlier("e-2", phase=Phase.FAILED, state=JobState.FAILED)
    bench.earlier("e-3", phase=Phase.CANCELLED, state=None)  # it has let go by itself
    bench.earlier("e-4", outputs=A)
    bench.earlier("e-5", outputs=B, phase=Phase.LANDED, state=JobState.DONE)
    assert kept(bench) == ["e-1", "e-2", "e-3"]
    bench.look()
    assert [set(ids) for ids in bench.backend.discarded] == [{"id-e-1", "id-e-2"}]
    assert kept(bench) == []
    assert bench.left() == {"e-4": "submitted", "e-5": "landed"}
    bench.look()
    assert len(bench.backend.discarded) == 1
    assert bench.said == []


def test_jobs_that_come_to_their_end_are_kept_no_more(bench: Bench) -> None:
    bench.submit("j-1", "j-2", "j-3")
    bench.wait_for(lambda: len(bench.backend.jobs) == 3)
    bench.succeed("j-1")
    bench.backend.statuses["id-1"] = JobStatus(JobState.FAILED, "exit code 1")
    assert len(bench.outcomes(2)) == 2
    assert bench.discarded() == ["id-1"]
    assert bench.phases() == {"j-1": "landed", "j-2": "failed", "j-3": "submitted"}
    bench.wait_for(lambda: kept(bench) == [])
    bench.acknowledge("j-1")
    bench.wait_for(lambda: kept(bench) == [])
    assert bench.discarded() == ["id-0", "id-1"]
    assert bench.controller.cancel(10, lambda: False) == []
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
    bench.earlier("e-1", outputs=A, phase=Phase.LANDED, state=JobState.DONE)
    bench.look()
    bench.settle("work/b")
    assert bench.phases() == {"e-1": "succeeded"}
    assert bench.discarded() == ["id-e-1"]
    assert bench.said == []
    assert bench.controller.on_the_grid == []


def test_a_success_that_snakemake_may_not_have_noted_stays(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.LANDED, state=JobState.DONE)
    bench.look()
    bench.settle("work/b", unnoted=True)
    assert bench.left() == {"e-1": "landed"}
    assert bench.discarded() == []


def test_a_success_that_snakemake_has_not_noted_is_taken_in_once_more(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.LANDED, state=JobState.DONE)
    bench.look()
    bench.settle("work/a")
    assert bench.discarded() == []
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.outcomes(1)
    assert outcome.success
    assert bench.backend.runs == {}
    bench.acknowledge("j-1")
    assert bench.phases() == {"e-1": "succeeded"}


def test_a_success_of_which_the_server_has_let_go_is_a_success(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, phase=Phase.LANDED, state=None)
    bench.look()
    assert bench.phases() == {"e-1": "succeeded"}
    bench.submit("j-1", outputs=A)  # it was not what Snakemake wanted
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})


def test_a_success_that_was_kept_from_running_again_is_taken_in_once_more(bench: Bench) -> None:
    # It was put back into the queue after its outputs had come, and cancelled for that.
    bench.earlier("e-1", outputs=A, phase=Phase.LANDED, state=JobState.DONE)
    bench.backend.statuses["id-e-1"] = JobStatus(JobState.CANCELLED)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A)
    assert bench.outcomes(1)[0].success
    assert bench.backend.runs == {}


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


# How far it had come


def test_attempts_are_those_of_the_jobs_that_were_left(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, attempt=2)
    bench.earlier("e-2", outputs=A, attempt=3)
    bench.earlier("e-3", attempt=4)
    bench.earlier("e-4", outputs=outputs("gone"), attempt=5, state=None)
    bench.look()
    attempt = bench.controller.attempt
    assert attempt(["work/a"], "sort", '{"sample": "a"}') == 3
    assert attempt(["work/a", "work/b"], "sort", "{}") == 3
    assert attempt([], "sort", '{"sample": "a"}') == 4
    assert attempt([], "sort", '{"sample": "b"}') == 1
    assert attempt(["work/gone"], "sort", "{}") == 1
    assert attempt(["work/b"], "sort", '{"sample": "a"}') == 1


def test_the_budget_of_resubmission_goes_on(bench: Bench) -> None:
    bench.earlier("e-1.2", outputs=A, origin="e-1")
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    bench.fault("e-1.2")
    bench.fault("e-1.3")
    (outcome,) = bench.outcomes(1)
    assert (outcome.name, outcome.success) == ("j-1", False)
    assert bench.backend.runs == {"e-1.3": 1}
    assert [text for text in bench.said if "(3 of at most 3 times)" in text]


def test_a_job_that_is_sent_again_keeps_its_first_name(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    bench.fault("e-1")
    bench.wait_for(lambda: bench.backend.runs == {"e-1.1": 1})
    (left,) = Journal(bench.database, "later", "fickle").left()
    assert (left.name, left.origin, left.identity) == ("e-1.1", "e-1", "the same")
    bench.succeed("e-1.1")
    assert bench.outcomes(1)[0].name == "j-1"


# Trouble


@PATIENT
@pytest.mark.parametrize("where", ["finds", "asks"])
def test_a_server_that_is_down_at_the_start_is_waited_for(bench: Bench, where: str) -> None:
    bench.earlier("e-1", outputs=A)
    setattr(bench.backend, where, Times(DOWN, 3))
    bench.look()
    bench.submit("j-1", outputs=A)
    going_on(bench)
    assert bench.backend.runs == {}


@pytest.mark.parametrize("bench", [{"outage_limit": 0.1}], indirect=True)
def test_a_server_that_stays_down_ends_the_run_before_it_has_begun(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.backend.finds = Times(DOWN, 1000)
    with pytest.raises(EndingError, match="--grid-outage-limit"):
        bench.look()
    assert bench.left() == {"e-1": "submitted"}


def test_a_server_that_refuses_to_cancel_loses_no_job(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, identity="before")

    async def cancel(ids: Collection[str]) -> set[str]:
        raise PermanentError("not yours")

    bench.look()
    bench.backend.cancel = cancel  # type: ignore[method-assign]
    bench.submit("j-1", outputs=A, identity="after")
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    assert "Cancelling failed: not yours" in bench.said
    assert bench.left()["e-1"] == "cancelling"


@pytest.mark.parametrize("write", ["adopted", "ended", "noted"])
@PATIENT
def test_a_full_disk_is_waited_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    bench.earlier("e-1", outputs=A)
    bench.earlier("e-2", outputs=B, state=None)
    bench.earlier("e-3", outputs=outputs("c"), phase=Phase.LANDED, state=JobState.DONE)
    journal = bench.controller._parts.journal
    works, full = getattr(journal, write), Times(DiskFullError("grid.sqlite: disk is full"), 3)

    def writes(*args: object) -> None:
        full()
        works(*args)

    monkeypatch.setattr(journal, write, writes)
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    going_on(bench)
    assert bench.phases() == {"e-1": "submitted", "e-2": "cancelled", "e-3": "succeeded"}
    assert bench.left() == {"e-1": "submitted"}
    assert len([text for text in bench.said if text.startswith("Waiting for the disk")]) == 1
    assert len([text for text in bench.said if text.startswith("There is room")]) == 1
