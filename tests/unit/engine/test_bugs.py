"""What becomes of a run when this package, rather than a server, has an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import error_log
from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from tests.unit.fickle import PATIENT, Bench
from tests.unit.interference import Times


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Return the log of the run, which is open."""
    with error_log.opened(tmp_path):
        yield tmp_path / error_log.LOG_FILE


def bug() -> None:
    raise KeyError("state")


@PATIENT
def test_a_bug_in_states_ends_the_run_and_leaves_the_jobs(bench: Bench, log: Path) -> None:
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)
    bench.backend.asks = bug
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert "KeyError: 'state'" in bench.controller.exhausted
    assert str(log) in bench.controller.exhausted
    asked = bench.backend.asked
    assert bench.polls(100) == []
    assert bench.backend.asked == asked  # it is not retried
    assert bench.said == []  # the executor says it, as the reason why the run ends
    assert log.read_text().count("Traceback") == 1
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert bench.left() == {"j-1": "submitted", "j-2": "submitted"}
    assert bench.backend.cancelled == []


@PATIENT
def test_a_bug_in_the_report_of_a_job_fails_that_job_alone(bench: Bench, log: Path) -> None:
    def fetches() -> None:
        if bench.backend.fetched == "id-0":
            bug()

    bench.backend.fetches = fetches
    bench.submit("j-1", "j-2")
    bench.succeed("j-1", "j-2")
    outcomes = {outcome.grid_id: outcome for outcome in bench.ended(2)}
    assert not outcomes["id-0"].success
    assert "KeyError: 'state'" in outcomes["id-0"].message
    assert str(log) in outcomes["id-0"].message
    assert outcomes["id-1"].success
    assert bench.controller.exhausted == ""
    assert log.read_text().count("Traceback") == 1
    # Its results stay on the grid.
    assert sorted(bench.left().values()) == ["outputs installed", "submitted"]
    assert bench.discarded() == []


def test_the_next_run_completes_a_job_after_a_bug(bench: Bench, log: Path) -> None:
    bench.backend.fetches = Times(KeyError("state"))
    bench.submit("j-1")
    bench.succeed("j-1")
    assert not bench.ended(1)[0].success
    bench.database.change("UPDATE jobs SET run='earlier'", [()])
    bench.look()
    bench.submit("j-2")  # the same job in the next run
    (outcome,) = bench.ended(1)
    assert (outcome.success, outcome.grid_id) == (True, "id-0")
    assert bench.backend.runs == {"j-1": 1}


def test_a_job_whose_report_meets_the_same_bug_again_has_failed(bench: Bench, log: Path) -> None:
    bench.backend.fetches = bug
    bench.submit("j-1")
    bench.succeed("j-1")
    assert not bench.ended(1)[0].success
    bench.database.change("UPDATE jobs SET run='earlier'", [()])
    bench.look()
    bench.submit("j-2")  # the same job in the next run
    (outcome,) = bench.ended(1)
    assert "KeyError: 'state'" in outcome.message
    assert bench.left() == {}


@PATIENT
def test_a_refused_request_for_states_ends_the_run(bench: Bench, log: Path) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    bench.backend.asks = Times(PermanentError("you may not do this"), 1000)
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert "you may not do this" in bench.controller.exhausted
    assert bench.polls(100) == []
    assert bench.left() == {"j-1": "submitted"}


@PATIENT
def test_a_bug_in_removing_results_does_not_end_the_run(
    bench: Bench, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DirectoryStore, "drop", lambda *_: bug())
    bench.submit("j-1")
    bench.succeed("j-1")
    (outcome,) = bench.ended(1)
    assert outcome.success
    bench.controller.acknowledge([outcome.name])
    bench.wait_for(log.exists)
    assert "KeyError" in log.read_text()
    assert bench.controller.exhausted == ""


@PATIENT
@pytest.mark.parametrize("found", [False, True])
def test_a_job_is_looked_for_after_a_bug_in_its_submission(
    bench: Bench, log: Path, found: bool
) -> None:
    bench.backend.takes = lambda name: found
    bench.backend.answer = Times(KeyError("state"))
    bench.submit("j-1")
    if found:
        bench.goes_on()
    else:
        (outcome,) = bench.ended(1)
        assert "KeyError: 'state'" in outcome.message
        assert str(log) in outcome.message
    assert "Traceback" in log.read_text()
    assert bench.left() == {"j-1": "submitted" if found else "submitting"}


@PATIENT
def test_failed_calls_are_in_the_log_with_their_time(bench: Bench, log: Path) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    bench.backend.asks = Times(TransientError("connection refused"))
    bench.wait_for(lambda: log.exists())
    (line,) = log.read_text().splitlines()
    assert line.endswith("Fickle.states: TransientError: connection refused")
    assert line.startswith("20")
    bench.wait_for(lambda: len(bench.said) == 2)


def test_a_run_without_errors_has_no_log(bench: Bench, log: Path) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "exit code 1")}
    bench.ended(1)
    assert not log.exists()
