from __future__ import annotations

import time

import pytest
from click.testing import CliRunner

from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.journal.test_reader import Past, past

from .commands import FakeBackend, call

__all__ = ["past"]


def run_with(past: Past, backend: FakeBackend, *samples: str) -> None:
    """Submit jobs which the server has."""
    past.run("run1")
    for number, sample in enumerate(samples, start=1):
        past.job(f"a-{number}", sample=sample, grid_id=f"{number}")
        backend.jobs[f"a-{number}"] = f"{number}"
        backend.statuses[f"{number}"] = JobStatus(JobState.RUNNING)


def phases(past: Past) -> dict[str, Phase]:
    return {name: job.phase for name, job in past.records().items()}


def test_all_open_jobs_are_cancelled_in_one_call(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b", "c")
    past.journal.ended("a-3", Phase.SUCCEEDED)
    result = call(past, "cancel", "--all", "--yes")
    assert result.exit_code == 0, result.output
    assert "align (sample=a), dirac job 1: queued" in result.output
    assert "2 jobs cancelled." in result.output
    assert backend.called("find") == [["a-1", "a-2"]]
    assert backend.called("cancel") == [["1", "2"]]
    assert backend.called("discard") == [["1", "2"]]
    assert phases(past) == {
        **dict.fromkeys(("a-1", "a-2"), Phase.CANCELLED),
        "a-3": Phase.SUCCEEDED,
    }
    assert past.records()["a-1"].detail == "cancelled by 'snakemake-grid cancel'"
    ((_, _, guest),) = backend.made
    assert not guest, "a local site is to end with its last job"
    assert backend.closed == 1


def test_some_jobs(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b", "c")
    assert call(past, "cancel", "align", "sample=b", "3", "-y").exit_code == 0
    assert backend.called("cancel") == [["2", "3"]]
    assert phases(past)["a-1"] is Phase.SUBMITTED


def test_the_server_tells_which_id_a_name_has(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    backend.jobs = {"a-1": "71"}
    backend.statuses = {"71": JobStatus(JobState.RUNNING)}
    call(past, "cancel", "1", "-y")
    assert backend.called("cancel") == [["71"]]


def test_it_is_noted_before_the_server_is_told(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    backend.errors["cancel"] = TransientError("no answer")
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "dirac: no answer." in result.output
    assert "1 job is not confirmed; run this command again, or start" in result.output
    assert phases(past) == {"a-1": Phase.CANCELLING}
    assert backend.called("discard") == []
    backend.errors.clear()
    assert call(past, "cancel", "--all", "-y").exit_code == 0
    assert phases(past) == {"a-1": Phase.CANCELLED}


def test_what_is_not_confirmed_is_listed(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b")
    backend.stuck = {"2"}
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "1 job cancelled." in result.output
    assert "1 job is not confirmed" in result.output
    assert "  align (sample=b), dirac job 2" in result.output.splitlines()
    assert phases(past) == {"a-1": Phase.CANCELLED, "a-2": Phase.CANCELLING}
    assert backend.called("discard") == [["1"]]


def test_what_has_finished_is_left(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b", "c")
    backend.statuses["1"] = backend.statuses["3"] = JobStatus(JobState.DONE)
    past.journal.cancelling(["a-3"])
    past.job("l-1", "sort", grid_id="9")
    past.journal.ended("l-1", Phase.OUTPUTS_INSTALLED)
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 0
    assert "1 job had finished already: the next run fetches" in result.output
    assert past.records()["a-1"].state == "done"
    assert backend.called("cancel") == [["2", "3"]]
    assert phases(past) == {
        "a-1": Phase.SUBMITTED,
        "a-2": Phase.CANCELLED,
        "a-3": Phase.CANCELLED,
        "l-1": Phase.OUTPUTS_INSTALLED,
    }


def test_what_the_server_does_not_have(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    backend.jobs.clear()
    past.job("a-2", sample="b")
    past.put("a-2", sent=time.time() - 601)
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 0
    assert "2 jobs not on the grid any more." in result.output
    assert set(phases(past).values()) == {Phase.CANCELLED}
    assert past.records()["a-1"].detail == "dirac has no such job"
    assert backend.called("cancel") == []


def test_what_went_to_another_server_is_not_gone(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b", "c")
    backend.jobs = {"a-3": "3"}
    backend.address = "https://here"
    past.put("a-1", endpoint="https://there")
    past.put("a-2", endpoint="https://here")
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "1 job went to another server than https://here" in result.output
    assert "  align (sample=a), dirac job 1" in result.output.splitlines()
    assert phases(past) == {
        "a-1": Phase.SUBMITTED,
        **dict.fromkeys(("a-2", "a-3"), Phase.CANCELLED),
    }


def test_what_only_a_run_needs_does_not_matter(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    backend.jobs.clear()
    backend.address = "https://here"
    past.put("a-1", endpoint="https://here")
    backend.errors["check"] = PermanentError("the proxy is too short for a run")
    assert call(past, "cancel", "--all", "-y").exit_code == 0
    assert phases(past) == {"a-1": Phase.CANCELLED}


def test_which_server_it_is_cannot_be_told(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b")
    del backend.jobs["a-1"]
    backend.errors["check"] = TransientError("no answer")
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "1 job is not confirmed" in result.output
    assert phases(past) == {"a-1": Phase.SUBMITTED, "a-2": Phase.CANCELLED}


def test_what_may_be_on_its_way_yet(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1")
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "dirac job without id (a-1)" in result.output
    assert phases(past) == {"a-1": Phase.CANCELLING}, "the next run would adopt it"


def test_while_a_run_is_going_on_only_the_server_is_told(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a", "b", "c")
    backend.stuck, backend.statuses["3"] = {"2"}, JobStatus(JobState.DONE)
    with lock_folder(past.folder):
        result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "The run that is going on will report them as failed" in result.output
    assert "the run that is going on fetches" in result.output
    assert "dirac job 2" in result.output
    assert set(phases(past).values()) == {Phase.SUBMITTED}
    assert backend.called("discard") == []
    ((_, _, guest),) = backend.made
    assert guest


def test_no_run_begins_meanwhile(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    locked: list[bool] = []
    find = backend.find

    async def look(names: list[str]) -> object:
        try:
            lock_folder(past.folder).close()
        except Exception:
            locked.append(True)
        return await find(names)

    backend.find = look  # type: ignore[method-assign, assignment]
    call(past, "cancel", "--all", "-y")
    assert locked == [True]
    lock_folder(past.folder).close()


def test_a_server_that_does_not_answer_keeps_no_other_from_it(
    past: Past, backend: FakeBackend
) -> None:
    run_with(past, backend, "a")
    past.run("run2", "panda")
    past.job("p-1", "sort", grid_id="7:p-1")
    past.database.change("DELETE FROM runs WHERE name='run2'", [()])
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "panda: no run has noted by which options" in result.output
    assert "  sort (sample=a), panda job 7:p-1" in result.output.splitlines()
    assert phases(past) == {"a-1": Phase.CANCELLED, "p-1": Phase.SUBMITTED}


@pytest.mark.parametrize("failing", ["make", "check_credentials", "find", "states"])
def test_an_outage_changes_nothing(past: Past, backend: FakeBackend, failing: str) -> None:
    run_with(past, backend, "a")
    backend.errors[failing] = CredentialsError("no proxy; run dirac-proxy-init")
    result = call(past, "cancel", "--all", "-y")
    assert result.exit_code == 1
    assert "dirac: no proxy; run dirac-proxy-init." in result.output
    assert phases(past) == {"a-1": Phase.SUBMITTED}
    assert backend.called("cancel") == []


def test_results_that_cannot_be_thrown_away(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    backend.errors["discard"] = TransientError("no answer")
    assert call(past, "cancel", "--all", "-y").exit_code == 0
    assert phases(past) == {"a-1": Phase.CANCELLED}


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("answer", "cancelled"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_it_asks(
    past: Past, backend: FakeBackend, answer: str, cancelled: bool
) -> None:
    run_with(past, backend, "a")
    arguments = ["cancel", "--all", "-d", str(past.directory)]
    result = CliRunner().invoke(main, arguments, input=answer)
    assert "finished since are not cancelled.\nCancel 1 job?" in result.output
    assert result.exit_code == (0 if cancelled else 1)
    assert phases(past)["a-1"] is (Phase.CANCELLED if cancelled else Phase.SUBMITTED)


def test_without_a_terminal_it_only_lists(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, *"abcdefghijkl")
    result = call(past, "cancel", "align")
    assert result.exit_code == 1
    assert "align (sample=a), dirac job 1: queued" in result.output
    assert "and 2 more" in result.output
    assert "nothing is cancelled: add --yes" in result.output
    assert backend.made == []


def test_nothing_to_cancel(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    past.journal.ended("a-1", Phase.FAILED)
    result = call(past, "cancel", "align", "-y")
    assert result.exit_code == 0
    assert "there is nothing to cancel" in result.output
    assert backend.made == []


def test_words_or_all(past: Past, backend: FakeBackend) -> None:
    run_with(past, backend, "a")
    assert call(past, "cancel").exit_code == 2
    assert call(past, "cancel", "align", "--all").exit_code == 2
    unknown = call(past, "cancel", "algin", "-y")
    assert unknown.exit_code == 1
    assert "Its rules are align" in unknown.output
    assert backend.made == []
