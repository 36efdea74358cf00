from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.backends.panda.states import (
    FILE_STATES,
    JOB_STATES,
    TASK_STATES,
    payload_status,
    plain,
    waiting_advice,
)
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus

# All that JediTaskSpec and pandajedi of panda-server 1.0.4 give to tasks, or compare theirs with.
ALL_TASK_STATES = [
    *("waiting", "registered", "defined", "assigning", "topreprocess", "preprocessing", "ready"),
    *("pending", "throttled", "staging", "staged", "scouting", "scouted", "running", "merging"),
    *("prepared", "finishing", "passed", "toabort", "aborting", "tobroken", "toretry"),
    *("toincexec", "rerefine", "toreassign", "reassigning", "paused", "exhausted"),
    *("done", "finished", "failed", "broken", "aborted"),
]
FINAL = ["done", "finished", "failed", "broken", "aborted"]
ALL_JOB_STATES = [
    *("pending", "waiting", "defined", "assigned", "throttled", "activated", "sent", "starting"),
    *("stagein", "running", "stageout", "holding", "transferring", "merging"),
    *("finished", "failed", "cancelled", "closed"),
]


def test_every_state_is_mapped() -> None:
    assert set(TASK_STATES) == set(ALL_TASK_STATES)
    assert set(JOB_STATES) == set(ALL_JOB_STATES)
    assert {name for name, state in TASK_STATES.items() if state.ended} == set(FINAL)
    mapped = [*TASK_STATES.values(), *FILE_STATES.values(), *JOB_STATES.values()]
    assert JobState.UNKNOWN not in mapped


@pytest.mark.parametrize("task", [*ALL_TASK_STATES, "hibernating"])
def test_a_payload_that_has_ended_has_whatever_the_task_does(task: str) -> None:
    assert payload_status(task, "finished").state is JobState.DONE
    assert payload_status(task, "failed").state is JobState.FAILED
    assert payload_status(task, "missing").state is JobState.FAILED
    assert payload_status(task, "cancelled").state is JobState.CANCELLED


@pytest.mark.parametrize("task", [name for name in ALL_TASK_STATES if name not in FINAL])
@pytest.mark.parametrize("file", ["ready", "picked", "running", "pending", "novel", None])
def test_no_payload_ends_while_its_task_goes_on(task: str, file: str | None) -> None:
    assert not payload_status(task, file).state.ended


@pytest.mark.parametrize("file", ["ready", "picked", "running", "novel", None])
def test_what_is_left_of_a_task_that_has_ended(file: str | None) -> None:
    assert payload_status("failed", file).state is JobState.FAILED
    assert payload_status("finished", file).state is JobState.FAILED
    assert payload_status("broken", file).state is JobState.FAILED
    assert payload_status("aborted", file).state is JobState.CANCELLED
    # All payloads have ended well, so the file was asked for too early.
    assert payload_status("done", file).state is JobState.DONE


def test_partial_success_is_told_apart() -> None:
    assert payload_status("finished", "finished") == JobStatus(JobState.DONE)
    assert payload_status("finished", "ready", "out of memory", "SITE", infrastructure=True) == (
        JobStatus(JobState.FAILED, "out of memory", "SITE", infrastructure=True)
    )


def test_the_site_is_not_to_blame_for_a_broken_or_killed_task() -> None:
    broken = payload_status("broken", None, "no architecture", infrastructure=True)
    assert broken == JobStatus(JobState.FAILED, "no architecture")
    assert not payload_status("aborted", "ready", infrastructure=True).infrastructure
    assert not payload_status("running", "cancelled", infrastructure=True).infrastructure


@pytest.mark.parametrize(
    ("task", "file", "state"),
    [
        ("registered", None, JobState.QUEUED),
        ("pending", None, JobState.QUEUED),
        ("ready", "ready", JobState.QUEUED),
        ("running", "ready", JobState.QUEUED),
        ("running", "picked", JobState.QUEUED),
        ("running", "running", JobState.AT_SITE),
        ("pending", "running", JobState.AT_SITE),
        ("throttled", "running", JobState.AT_SITE),
        ("aborting", "running", JobState.AT_SITE),
        ("toabort", "ready", JobState.QUEUED),
        ("toretry", "ready", JobState.QUEUED),
        ("prepared", "ready", JobState.QUEUED),
        ("exhausted", "ready", JobState.HELD),
        ("exhausted", None, JobState.HELD),
        ("paused", "running", JobState.HELD),
        ("running", None, JobState.UNKNOWN),
        ("running", "novel", JobState.UNKNOWN),
        ("hibernating", "running", JobState.UNKNOWN),
        ("hibernating", None, JobState.UNKNOWN),
    ],
)
def test_payloads_of_tasks_that_go_on(task: str, file: str | None, state: JobState) -> None:
    assert payload_status(task, file).state is state


def test_unknown_words_are_named() -> None:
    assert payload_status("hibernating", "running").detail == "its task is hibernating"
    assert payload_status("running", "novel").detail == "its file is novel"
    assert payload_status("running", None).detail == "PanDA does not name it"


def test_of_a_task_that_goes_on_the_job_tells_that_a_payload_has_failed() -> None:
    """JEDI makes the file ``ready`` again, also after the last attempt."""
    failed = payload_status("running", "ready", "looped", "SITE", job_status="failed")
    assert failed == JobStatus(JobState.FAILED, "looped", "SITE")
    closed = payload_status("running", "ready", infrastructure=True, job_status="closed")
    assert (closed.state, closed.infrastructure) == (JobState.FAILED, True)
    assert closed.detail == "PanDA gives no reason for closed"
    assert payload_status("running", "ready", job_status="cancelled").state is JobState.CANCELLED
    assert payload_status("failed", "ready", job_status="cancelled").state is JobState.CANCELLED
    # There is a new attempt.
    assert payload_status("running", "picked", job_status="failed").state is JobState.QUEUED
    assert payload_status("done", None, job_status="failed").state is JobState.DONE
    assert payload_status("running", "running", job_status="failed").state is JobState.AT_SITE
    # The file is what counts as success.
    assert payload_status("running", "ready", job_status="finished").state is JobState.QUEUED


@pytest.mark.parametrize(
    ("job", "state"),
    [
        ("activated", JobState.AT_SITE),
        ("sent", JobState.AT_SITE),
        ("running", JobState.RUNNING),
        ("holding", JobState.RUNNING),
        ("finished", JobState.RUNNING),  # its file will say so
        ("novel", JobState.AT_SITE),
        ("", JobState.AT_SITE),
    ],
)
def test_only_the_job_tells_that_a_pilot_has_it(job: str, state: JobState) -> None:
    assert payload_status("running", "running", job_status=job).state is state


def test_waiting_payloads_say_what_for() -> None:
    assert "production role" in payload_status("paused", "ready").detail
    assert "does not go on" in payload_status("exhausted", "ready").detail
    assert "no place" in payload_status("pending", None).detail
    assert payload_status("pending", None, "no candidates").detail == "no candidates"


DIALOG = (
    '<a href="https://panda.example/cache/jedilog/7.log">log</a> : 0 candidates &lt; 1. '
    "no candidates."
)


def test_dialogs_become_plain_text() -> None:
    assert plain(DIALOG) == (
        "log (https://panda.example/cache/jedilog/7.log) : 0 candidates < 1. no candidates"
    )
    assert plain("#ATM #KV action=set_exhausted reason=scout_ramCount scout ramCount 9 MB") == (
        "reason=scout_ramCount scout ramCount 9 MB"
    )
    assert plain("<b>disk</b><br/>1 < 2\n &amp; 3 > 2") == "disk 1 < 2 & 3 > 2"
    assert plain("") == ""
    assert len(plain("word " * 1000)) < 610


def test_tasks_without_a_site_say_what_to_look_at() -> None:
    said = waiting_advice("pending", 7, DIALOG)
    assert said.startswith("PanDA task 7 waits for a site: log (https://panda.example/")
    assert "grid_site" in said
    assert "grid_site" in waiting_advice("pending", 7, "unknown site=NOWHERE")
    assert "grid_" not in waiting_advice("pending", 7, "failed to get files")


def test_tasks_that_wait_for_a_person_say_what_it_can_do() -> None:
    exhausted = waiting_advice("exhausted", 7, "timeout while in pending")
    assert ": timeout while in pending; pbook -c 'finish(7)'" in exhausted
    assert "pbook -c 'retry(7)'" in exhausted
    assert "pbook -c 'resume(7)'" in waiting_advice("paused", 7, "")


def test_tasks_that_have_ended_say_why() -> None:
    said = waiting_advice("broken", 7, "task refinement failed")
    assert said == "PanDA task 7 is broken: task refinement failed"


@pytest.mark.parametrize("task", ["running", "done", "finished", "ready", "registered", "novel"])
def test_there_is_no_advice_where_nobody_waits(task: str) -> None:
    assert waiting_advice(task, 7, "something") == ""
    assert waiting_advice("pending", 7, "") == ""
    assert waiting_advice("broken", 7, "<br>") == ""
