from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import time

import pytest
from click.testing import CliRunner

from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.lock import HOLDER_FILE, lock_folder
from snakemake_executor_plugin_grid.journal.records import JobRecord, Phase
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.journal.test_reader import Past, past

from .commands import FakeBackend, call, document, states_of

__all__ = ["past"]


def test_jobs_are_counted_by_state_rule_and_site(past: Past) -> None:
    states_of(past)
    found = document(past)
    names = ("waiting", "running", "held", "unknown", "ended", "cancelling")
    ends = ("outputs installed", "succeeded", "failed", "cancelled")
    assert found["states"] == {**dict.fromkeys((*names, *ends), 1), "queued": 2}
    assert found["rules"]["sort"] == {"queued": 1, **dict.fromkeys(ends, 1)}
    assert found["sites"]["IN2P3"] == dict.fromkeys(ends, 1)
    assert found["sites"][""] == {"waiting": 1, "queued": 1, "cancelling": 1}
    assert {job["name"] for job in found["jobs"]} == {*names, "queued", "silent", "installed"}
    assert [job["name"] for job in found["failures"]] == ["failed"]


@pytest.mark.parametrize("going_on", [True, False])
def test_what_open_jobs_wait_for(past: Past, going_on: bool) -> None:
    states_of(past)
    past.put("queued", accepted=time.time() - 7500)
    lock = lock_folder(past.folder) if going_on else None
    text = call(past, "status", "--all").output
    if lock:
        lock.close()
    assert "queued for 2 h 5 min" in text
    assert "held: needs attention" in text
    assert "unknown: dirac does not list it" in text
    words = {
        True: ("being submitted", "being fetched", "not recorded", "being cancelled"),
        False: (
            *("the next run looks for", "the next run fetches"),
            *("the next run records", "the next run tries again"),
        ),
    }
    assert all(some in text for some in words[going_on])
    assert not any(some in text for some in words[not going_on])
    assert ("the same snakemake command again" in text) is not going_on


def test_a_job_that_perhaps_no_pilot_has_is_at_the_site(past: Past) -> None:
    past.run("run1", "panda")
    past.job("a-1", grid_id="1:a-1", said=JobStatus(JobState.AT_SITE, site="SITE_A"))
    found = document(past)
    assert (found["states"], found["sites"]) == (
        {"at the site": 1},
        {"SITE_A": {"at the site": 1}},
    )
    text = call(past, "status").output
    assert "at the site" in text
    assert "waits for a pilot" in text
    assert "running" not in text


def test_the_site_of_a_job_is_that_of_its_report_if_the_server_told_none(past: Past) -> None:
    past.run("run1", "panda")
    past.job("a-1", grid_id="1:a-1", said=JobStatus(JobState.DONE))
    past.job("a-2", "sort", grid_id="1:a-2", said=JobStatus(JobState.DONE, site="SITE_B"))
    for name in ("a-1", "a-2"):
        past.journal.ended(name, Phase.SUCCEEDED, "success", '{"site": "SITE_A"}')
    assert document(past)["sites"] == {"SITE_A": {"succeeded": 1}, "SITE_B": {"succeeded": 1}}


def test_the_last_submission_decides(past: Past) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    past.journal.ended("a-1", Phase.FAILED, "a fault of the site")
    past.job("a-1.1", grid_id="2", origin="a-1", said=JobStatus(JobState.RUNNING))
    assert document(past)["states"] == {"running": 1}
    past.journal.ended("a-1.1", Phase.FAILED, "exit code 1")
    assert [job["name"] for job in document(past)["failures"]] == ["a-1.1"]
    past.run("run2")
    past.job("a-9", grid_id="3", said=JobStatus(JobState.QUEUED), attempt=2)
    found = document(past)
    assert found["states"] == {"queued": 1}, "a job that Snakemake sends again has failed no more"
    assert found["failures"] == []


def test_a_failure_comes_with_its_reason_and_its_log(past: Past) -> None:
    past.run("run1")
    for number in range(7):
        past.job(f"a-{number}", sample=str(number), grid_id=f"1{number}")
        past.journal.ended(f"a-{number}", Phase.FAILED, f"reason {number}")
    log = past.log("a-6", "boom")
    result = call(past, "status")
    assert "align (sample=6): dirac job 16" in result.output
    assert "reason 6" in result.output
    assert log.name in result.output
    assert "reason 1" not in result.output
    assert "and 2 more (--all lists them)" in result.output
    assert "reason 0" in call(past, "status", "--all").output
    assert document(past)["failures"][0]["log"] == str(log)


def test_many_open_jobs(past: Past) -> None:
    past.run("run1")
    for number in range(25):
        past.job(f"a-{number}", sample=f"s{number}", grid_id=str(number))
    result = call(past, "status")
    assert "and 5 more open jobs (--all lists them)" in result.output
    assert "sample=s24" not in result.output
    assert "sample=s24" in call(past, "status", "--all").output
    assert len(document(past)["jobs"]) == 25


def test_oldest_jobs(past: Past) -> None:
    states_of(past)
    now = time.time()
    past.put("queued", accepted=now - 86400 * 3 - 3600 * 4)
    past.put("running", running=now - 100)
    result = call(past, "status")
    assert "The oldest queued job: 3 d 4 h, the oldest running job: 1 min" in result.output
    ages = document(past)["oldest"]
    assert ages["queued"] == pytest.approx(3 * 86400 + 4 * 3600, abs=60)
    assert ages["running"] == pytest.approx(100, abs=60)


def test_marks_in_wildcards_are_shown_as_they_are(past: Past) -> None:
    past.run("run1")
    past.job("a-1", sample="[red]:smile:[/]", grid_id="1")
    assert "align (sample=[red]:smile:[/])" in call(past, "status").output


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_rule_is_lost_where_there_is_little_room(past: Past, width: int) -> None:
    states_of(past)
    result = CliRunner().invoke(
        main, ["status", "-d", str(past.directory)], env={"COLUMNS": str(width)}
    )
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= width
    begins = {line.split()[0] for line in lines if line.split()}
    assert {"align", "sort", "CERN", "IN2P3"} <= begins


def test_a_pipe_gets_whole_lines(past: Past) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1", sample="x" * 100)
    result = CliRunner().invoke(main, ["status", "-d", str(past.directory)], env={"COLUMNS": None})
    (line,) = [line for line in result.output.splitlines() if "xxx" in line]
    assert f"align (sample={'x' * 100})" in line
    assert "queued for 0 s" in line
    assert "\x1b" not in result.output


# The run


def test_a_run_that_is_going_on(past: Past) -> None:
    past.run("run1")
    with lock_folder(past.folder):
        result, found = call(past, "status"), document(past)
    assert "A run has been going on for 0 s: backend dirac" in result.output
    assert f"process {os.getpid()} on host {socket.gethostname()}" in result.output
    assert found["going_on"] is True
    assert found["run"]["pid"] == os.getpid()


def test_a_run_that_waits_says_what_for_and_since_when(past: Past) -> None:
    past.run("run1")
    past.journal.trouble("dirac does not answer")
    past.database.change("UPDATE runs SET trouble_since=trouble_since-?", [(600,)])
    assert "dirac does not answer" not in call(past, "status").output, "nobody waits"
    with lock_folder(past.folder):
        result, found = call(past, "status"), document(past)
    assert "It has been waiting for 10 min: dirac does not answer." in result.output
    assert found["run"]["trouble"] == "dirac does not answer"
    assert found["time"] - found["run"]["trouble_since"] > 599


def test_what_the_last_run_has_seen_may_be_old(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    assert "--server asks for" in call(past, "status").output
    assert "--server asks for" not in call(past, "status", "--server").output
    with lock_folder(past.folder):
        assert "--server asks for" not in call(past, "status").output


def test_the_lock_is_tried_and_given_back(past: Past) -> None:
    lock_folder(past.folder).close()
    past.run("run1")
    call(past, "status")
    with lock_folder(past.folder):
        pass


def test_looking_does_not_keep_others_from_looking(past: Past) -> None:
    past.run("run1")
    lock_folder(past.folder).close()
    with (past.folder / "lock").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert document(past)["going_on"] is False


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("finished", "finished"),
        ("left", "left its jobs on the grid"),
        ("cancelled", "cancelled its jobs"),
    ],
)
def test_how_the_last_run_ended(past: Past, end: str, words: str) -> None:
    past.run("run1").end_run(end, 0, 0)
    past.put_run("run1", ended=time.time() - 300)
    text = call(past, "status").output
    assert "No run is going on." in text
    assert words in text
    assert "5 min ago" in text


def test_a_run_that_was_killed(past: Past) -> None:
    past.run("run1")
    assert "was killed, or the host went down: no job is lost" in call(past, "status").output
    past.put_run("run1", host="elsewhere")
    text = call(past, "status").output
    assert "check on elsewhere whether it is still running" in text
    assert "was killed" not in text


def test_a_run_that_begins(past: Past) -> None:
    past.run("run1").end_run("finished", 0, 0)
    with lock_folder(past.folder):
        text = call(past, "status").output
    assert "A run is beginning or ending here" in text


def test_a_lock_that_cannot_be_tried(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.run("run1")
    lock_folder(past.folder).close()

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (past.folder / HOLDER_FILE).write_text("elsewhere 17")
    text = call(past, "status").output
    assert "unknown whether a run is going on" in text
    assert document(past)["going_on"] is None


def test_snakemakes_own_lock(past: Past) -> None:
    past.run("run1")
    locks = past.directory / ".snakemake" / "locks"
    locks.mkdir()
    assert "--unlock" not in call(past, "status").output
    (locks / "0.input.lock").touch()
    with lock_folder(past.folder):
        assert "--unlock" not in call(past, "status").output
        assert document(past)["snakemake_lock"] == {"files": 1, "stale": False}
    text = call(past, "status").output
    assert "'snakemake --unlock' is safe" in text
    assert "See on host" not in text
    assert document(past)["snakemake_lock"] == {"files": 1, "stale": True}
    past.put_run("run1", host="elsewhere")
    assert "Check on host elsewhere" in call(past, "status").output


def test_a_directory_in_which_nothing_has_happened_yet(past: Past) -> None:
    result = call(past, "status")
    assert result.exit_code == 0
    assert "The journal contains no run." in result.output
    assert "No job has been submitted here yet." in result.output
    assert document(past)["run"] is None


# Watching


def test_watching(past: Past, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    states_of(past)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        past.journal.ended("queued", Phase.FAILED, "seen later")
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "sleep", sleep)
    result = call(past, "status", "--watch", "--server")
    assert result.exit_code == 0
    assert pauses == [5.0] * 3
    assert result.output.count("No run is going on") == 3
    assert result.output.count("seen later") == 2
    assert len(backend.made) == 1, "it opens the client anew each time"
    assert len(backend.called("states")) == 3
    assert backend.closed == 1


def test_watching_at_another_pace(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.run("run1")

    async def sleep(seconds: float) -> None:
        assert seconds == 2.5
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert call(past, "status", "--watch", "2.5").exit_code == 0
    assert call(past, "status", "--watch", "0").exit_code == 2
    assert call(past, "status", "--watch", "--json").exit_code == 2


def test_jobs_that_have_succeeded_are_counted_without_being_read(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("run1")
    for number in range(5):
        done = JobStatus(JobState.DONE, site="S")
        past.job(f"a-{number}", f"rule{number}", grid_id=str(number), said=done)
        past.journal.ended(f"a-{number}", Phase.SUCCEEDED, "success", '{"site": "S"}')
    past.job("b-1", "sort", grid_id="9")
    read: list[object] = []
    from_row = JobRecord.from_row
    monkeypatch.setattr(JobRecord, "from_row", lambda row: read.append(row) or from_row(row))
    assert document(past)["states"] == {"queued": 1, "succeeded": 5}
    assert len(read) == 1
