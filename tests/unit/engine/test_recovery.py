"""Which jobs of earlier runs a run takes over, and which it replaces."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import EndingError, PermanentError
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.model.tracked import Plan
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.fickle import IDENTITY, PATIENT, Bench, outputs
from tests.unit.interference import DOWN, Times, down
from tests.unit.specs import spec

A, B = outputs("a"), outputs("b")


# What is still the same


def test_a_job_that_is_on_the_grid_goes_on(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.settle("work/a")
    bench.submit("j-1", outputs=A, jobid="9")
    bench.goes_on()
    assert bench.backend.runs == {}
    assert bench.backend.cancelled == []
    bench.succeed("e-1")
    (outcome,) = bench.ended(1)
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
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success) == ("j-1", True)
    bench.submit("j-2", outputs=B)
    bench.wait_for(lambda: len(bench.said) == 2)
    assert bench.backend.runs == {}
    assert bench.phases() == {"e-1": "outputs installed", "e-2": "submitted"}
    assert [text.rpartition(": ")[2] for text in bench.said] == [
        "0 on the grid, 1 that have ended meanwhile.",
        "1 on the grid, 0 that have ended meanwhile.",
    ]


def test_a_job_that_has_failed_meanwhile_fails_with_what_it_said(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.FAILED)
    bench.look()
    bench.submit("j-1", outputs=A)
    (outcome,) = bench.ended(1)
    assert not outcome.success
    assert "it said this" in outcome.message
    assert bench.backend.runs == {}


def test_ids_are_those_of_the_server_by_the_name_of_the_job(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, grid_id="id-old")
    bench.backend.jobs["e-1"] = "id-new"
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.succeed("e-1")
    assert bench.ended(1)[0].grid_id == "id-new"
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
    bench.goes_on()
    assert adopted == ["e-1"]  # it may have been created without having been started
    assert bench.backend.runs == {}
    assert bench.phases() == {"e-1": "submitted"}


def test_a_job_that_the_server_does_not_name_now_is_waited_for(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.backend.statuses = {}
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.backend.runs == {}
    bench.succeed("e-1")
    assert bench.ended(1)[0].success


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
    bench.goes_on(2)
    assert bench.backend.runs == {}
    bench.submit("j-3", wildcards=(("sample", "other"),))
    bench.wait_for(lambda: bench.backend.runs == {"j-3": 1})


def test_a_job_is_adopted_once(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, state=JobState.FAILED)
    bench.look()
    bench.submit("j-1", outputs=A)
    assert not bench.ended(1)[0].success
    bench.submit("j-2", outputs=A)  # Snakemake's next attempt
    bench.wait_for(lambda: bench.backend.runs == {"j-2": 1})


def test_what_one_run_has_adopted_the_next_may_adopt(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.left() == {"e-1": "submitted"}
    (left,) = Journal(bench.database, "later", "fickle").open_jobs()
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
    assert len(bench.ended(2)) == 2
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
    (text,) = bench.said
    assert "Cancelling 1 job(s)" in text
    assert "parameters have changed" in text


def test_what_a_changed_job_has_made_is_not_taken_in(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, identity="before", state=JobState.DONE)
    inbox = Path(bench.store.inbox("e-1").removeprefix("file://"))
    inbox.mkdir(parents=True)
    bench.look()
    bench.submit("j-1", outputs=A, identity="after")
    bench.wait_for(lambda: bench.backend.runs == {"j-1": 1})
    bench.polls()
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
    assert "Not confirmed to be cancelled: id-e-1. The next run cancels" in bench.said[-1]
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
    assert bench.ended(1)[0].grid_id == f"id-{taken}"


# How far it had come


def test_attempts_are_those_of_the_jobs_that_were_left(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A, attempt=2)
    bench.earlier("e-2", outputs=A, attempt=3)
    bench.earlier("e-3", attempt=4)
    bench.earlier("e-4", outputs=outputs("gone"), attempt=5, state=None)
    bench.look()
    attempt = bench.controller.recovery.attempt
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
    bench.goes_on()
    bench.fault("e-1.2")
    bench.fault("e-1.3")
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success) == ("j-1", False)
    assert bench.backend.runs == {"e-1.3": 1}
    assert [text for text in bench.said if "(3 of at most 3)" in text]


def test_a_job_that_is_sent_again_keeps_its_first_name(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    bench.fault("e-1")
    bench.wait_for(lambda: bench.backend.runs == {"e-1.1": 1})
    (left,) = Journal(bench.database, "later", "fickle").open_jobs()
    assert (left.name, left.origin, left.identity) == ("e-1.1", "e-1", "the same")
    bench.succeed("e-1.1")
    assert bench.ended(1)[0].name == "j-1"


# Trouble


@PATIENT
@pytest.mark.parametrize("where", ["finds", "asks"])
def test_a_server_that_is_down_at_the_start_is_waited_for(bench: Bench, where: str) -> None:
    bench.earlier("e-1", outputs=A)
    setattr(bench.backend, where, Times(DOWN, 3))
    bench.look()
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.backend.runs == {}


@pytest.mark.parametrize("bench", [{"outage_limit": 30.0}], indirect=True)
def test_a_server_that_stays_down_ends_the_run_before_it_has_begun(bench: Bench) -> None:
    bench.earlier("e-1", outputs=A)
    bench.backend.finds = down
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
    bench.earlier("e-3", outputs=outputs("c"), phase=Phase.OUTPUTS_INSTALLED, state=JobState.DONE)
    bench.fill_disk(monkeypatch, write)
    bench.look()
    bench.settle("work/a", "work/b")
    bench.submit("j-1", outputs=A)
    bench.goes_on()
    assert bench.phases() == {"e-1": "submitted", "e-2": "cancelled", "e-3": "succeeded"}
    assert bench.left() == {"e-1": "submitted"}
    bench.wait_for(lambda: any("room on the disk again" in text for text in bench.said))
    assert len([text for text in bench.said if text.startswith("Waiting for the disk")]) == 1
    assert len([text for text in bench.said if "room on the disk again" in text]) == 1
