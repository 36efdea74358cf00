"""What becomes of jobs whose submission, site or system fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from dataclasses import replace

import pytest

from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import CredentialsError, PermanentError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput
from tests.unit.fickle import PATIENT, Bench
from tests.unit.interference import DOWN, Gate, Times, down

EXPIRED = CredentialsError("the proxy has expired; run 'renew'.")
NAMES = tuple(f"j-{number}" for number in range(6))


@PATIENT
@pytest.mark.parametrize("finds", [0, 3])
@pytest.mark.parametrize("error", [DOWN, TimeoutError(), EXPIRED], ids=["down", "late", "expired"])
@pytest.mark.parametrize("taken", [0, 3, 6])
def test_no_job_is_lost_or_sent_twice_when_answers_are_lost(
    bench: Bench, taken: int, error: Exception, finds: int
) -> None:
    backend = bench.backend
    backend.answer = answer = Times(error, 2)
    # The first time it takes some, then all.
    backend.takes = lambda name: answer.left < 2 or name in NAMES[:taken]
    backend.finds = Times(error, finds)
    bench.submit(*NAMES)
    bench.wait_for(lambda: set(bench.phases().values()) == {"submitted"})
    assert backend.runs == dict.fromkeys(NAMES, 1)
    bench.succeed(*NAMES)
    outcomes = bench.ended(6)
    assert sorted(outcome.name for outcome in outcomes) == list(NAMES)
    assert all(outcome.success for outcome in outcomes)


def test_a_lost_answer_neither_loses_a_job_nor_runs_it_twice(bench: Bench) -> None:
    bench.backend.answer = down
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: bench.phases() == {"j-1": "submitted", "j-2": "submitted"})
    bench.backend.statuses = {
        grid_id: JobStatus(JobState.FAILED) for grid_id in bench.backend.jobs.values()
    }
    assert sorted(outcome.name for outcome in bench.ended(2)) == ["j-1", "j-2"]


@pytest.mark.parametrize("bench", [{"outage_limit": 30.0}], indirect=True)
def test_a_job_that_may_have_been_submitted_is_left_to_the_next_run(bench: Bench) -> None:
    bench.backend.answer = bench.backend.finds = down
    bench.submit("j-1")
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert "fickle has not answered for 30 s" in bench.controller.exhausted
    assert "the server is down" in bench.controller.exhausted
    assert bench.polls() == []
    assert bench.left() == {"j-1": "submitting"}


def test_a_job_that_may_have_been_submitted_is_looked_for_by_the_next_run(bench: Bench) -> None:
    bench.backend.answer = down
    bench.backend.finds = Times(PermanentError("no such call"), 1000)
    bench.submit("j-1")
    (outcome,) = bench.ended(1)
    assert "could not be submitted: the server is down" in outcome.message
    assert bench.phases() == {"j-1": "submitting"}
    later = Journal(bench.database, "later", "fickle")
    assert [(job.name, job.grid_id) for job in later.open_jobs()] == [("j-1", None)]


def test_credentials_that_expire_are_waited_for_and_told_of_once(bench: Bench) -> None:
    backend = bench.backend
    expired = Times(EXPIRED, 5)
    backend.credentials = expired
    backend.finds = expired
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(backend.runs) == 2)
    bench.polls()  # the answer to the submission is what shows it
    assert [text.partition(" ")[0] for text in bench.said] == ["Waiting", "The"]
    assert backend.runs == {"j-1": 1, "j-2": 1}


def test_credentials_that_expire_in_a_submission_are_told_of_once(bench: Bench) -> None:
    backend = bench.backend
    backend.answer = expired = Times(EXPIRED)
    backend.takes = lambda name: name == "j-1" or not expired.left
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(backend.runs) == 2)
    bench.polls()
    assert [text.partition(" ")[0] for text in bench.said] == ["Waiting", "The"]
    assert backend.runs == {"j-1": 1, "j-2": 1}


def test_a_submission_that_is_refused_as_a_whole_fails_only_jobs_not_taken(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1"
    backend.answer = Times(PermanentError("no such queue"))
    bench.submit("j-1", "j-2")
    (outcome,) = bench.ended(1)
    assert outcome.name == "j-2"
    assert "no such queue" in outcome.message
    assert bench.phases() == {"j-1": "submitted", "j-2": "failed"}
    bench.succeed("j-1")
    assert bench.ended(1)[0].success


@pytest.mark.parametrize("bench", [{"outage_limit": 30.0}], indirect=True)
def test_what_is_known_of_some_jobs_is_kept_when_the_run_has_to_end(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1"
    backend.answer = down
    backend.finds = Times(DOWN, 1000, after=1)
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    assert bench.phases() == {"j-1": "submitted", "j-2": "submitting"}
    bench.succeed("j-1")
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success) == ("j-1", True)
    assert bench.left() == {"j-1": "outputs installed", "j-2": "submitting"}


@PATIENT
def test_what_is_known_of_some_jobs_is_kept_when_others_are_in_doubt(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1"
    backend.answer = down
    backend.finds = Times(PermanentError("no such call"), 1000, after=1)
    bench.submit("j-1", "j-2")
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success) == ("j-2", False)
    assert "could not be submitted: the server is down" in outcome.message
    assert bench.left() == {"j-1": "submitted", "j-2": "submitting"}
    bench.succeed("j-1")
    assert bench.ended(1)[0].success


def test_what_has_succeeded_is_kept_from_being_started_again(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    grid_id = bench.backend.jobs["j-1"]
    bench.backend.good.add(grid_id)
    bench.backend.statuses[grid_id] = JobStatus(JobState.FAILED, "put back", "", True)
    assert bench.ended(1)[0].success
    assert bench.backend.cancelled == [grid_id]


def test_what_the_infrastructure_fails_is_sent_again_under_another_name(bench: Bench) -> None:
    bench.submit("j-1")
    for name in ("j-1", "j-1.1", "j-1.2", "j-1.3"):
        assert bench.polls() == []
        bench.fault(name)
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success) == ("j-1", False)
    assert "pilot lost" in outcome.message
    bench.polls()
    assert bench.backend.runs == {"j-1": 1, "j-1.1": 1, "j-1.2": 1, "j-1.3": 1}
    assert set(bench.phases().values()) == {"failed"}
    again = [text for text in bench.said if "Resubmitting it" in text]
    assert [text.rpartition("(")[2] for text in again] == [
        f"{number} of at most 3)." for number in (1, 2, 3)
    ]


def test_a_job_that_succeeds_after_a_fault_is_a_success_under_its_first_name(bench: Bench) -> None:
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    bench.succeed("j-1.1", site="B")
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success, outcome.grid_id) == ("j-1", True, "id-1")
    assert bench.phases() == {"j-1": "failed", "j-1.1": "outputs installed"}
    bench.acknowledge("j-1")
    assert bench.phases() == {"j-1": "failed", "j-1.1": "succeeded"}
    assert not bench.controller.active


@pytest.mark.parametrize("bench", [{"retries": 0}], indirect=True)
def test_nothing_is_sent_again_where_the_user_wants_it_so(bench: Bench) -> None:
    bench.submit("j-1")
    bench.fault("j-1")
    assert not bench.ended(1)[0].success
    assert bench.backend.runs == {"j-1": 1}


def test_what_fails_by_itself_is_not_sent_again(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "Application failed", "A")}
    assert not bench.ended(1)[0].success
    assert bench.backend.runs == {"j-1": 1}


@pytest.mark.parametrize("where", ["answer", "credentials", "finds"])
@pytest.mark.parametrize("error", [DOWN, EXPIRED], ids=["down", "expired"])
@PATIENT
def test_cancelling_while_the_run_waits_ends_soon_and_sends_nothing_more(
    bench: Bench, where: str, error: Exception
) -> None:
    backend = bench.backend
    backend.takes = lambda name: False
    if where == "finds":
        backend.answer = Times(DOWN)
    setattr(backend, where, Times(error))
    bench.submit("j-1")
    while not bench.said:  # as polling would let time pass
        bench.controller.call(asyncio.sleep(0))
    sent = len(backend.payloads)
    backend.takes = lambda name: True
    assert bench.controller.cancel(1000, lambda: False) == []
    bench.controller.close()
    assert len(backend.payloads) == sent
    assert bench.phases() == {"j-1": "cancelling"}  # the next run looks for it, and cancels it


def test_a_job_that_comes_to_be_submitted_after_cancelling_is_cancelled(bench: Bench) -> None:
    bench.backend.answer = gate = Gate()
    bench.submit("j-1")
    assert gate.reached()
    bench.controller.cancel(1000, gate.open_later)
    bench.controller.close()
    assert bench.backend.cancelled == ["id-0"]
    assert bench.phases() == {"j-1": "cancelled"}


def test_a_job_that_is_sent_again_may_replace_what_is_there_then(bench: Bench) -> None:
    """Of a server without a catalog: its earlier attempt has perhaps written it."""
    url = "davs://host/d/x"
    planned = GridOutput("work/x", url, url, before="3:0a1b2c3d:1700000000")
    now = replace(planned, before="5::1700000100")
    asked: list[str] = []

    class Server:
        def forget(self, queries: Collection[str], *, absent: bool = False) -> None:
            asked.extend(queries)

        def facts(self, query: str) -> FileFacts:
            return FileFacts(5, 1_700_000_100.0)

        def protect(self, queries: Collection[str]) -> None: ...

        def discard(self, query: str) -> None: ...

    bench.outputs.grid_files._storages[url] = Server()  # type: ignore[assignment]
    bench.submit("j-00000000-1", grid_outputs=(planned,))
    bench.fault("j-00000000-1", site="A")
    bench.wait_for(lambda: "j-00000000-1.1" in bench.backend.jobs)
    sent = [
        GridOutput.from_json(json.loads(payload.description)["grid_outputs"][0])
        for payload in bench.backend.payloads
    ]
    assert [one.before for one in sent] == [planned.before, now.before]
    assert sent[0].part != sent[1].part
    assert asked
