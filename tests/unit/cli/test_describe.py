from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.cli.describe import _print_scripts
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.decided.decision import Command, Decision, Step
from tests.unit.journal.test_reader import Past, past

from .commands import FakeBackend, call

__all__ = ["past"]

REPORT = {
    "host": "wn1.cern.ch",
    "times": {"received": 100.0, "staging in": 101.0, "running": 161.0, "ended": 461.0},
    "cpu_seconds": 240.0,
    "peak_memory_mb": 250.4,
    "bytes_in": 1234567,
    "bytes_out": 89,
}


def sent_again(past: Past) -> None:
    """Submit a job that a site has failed, and that has succeeded at another."""
    past.run("run1", site="A,B", include=["x y", "z"], describe=True)
    resources = Resources(4, 1000, None, 3600.0, 1)
    past.job("a-1", grid_id="1", resources=resources, said=JobStatus(JobState.FAILED, "", "A"))
    past.journal.ended("a-1", Phase.FAILED, "the pilot was lost")
    past.job(
        *("a-1.1", "align", "a", "2"),
        origin="a-1",
        resources=resources,
        said=JobStatus(JobState.DONE, "", "B"),
    )
    past.journal.ended("a-1.1", Phase.SUCCEEDED, "success", json.dumps(REPORT))
    past.put("a-1.1", sent=2000.0, accepted=2060.0, running=5660.0, ended=6000.0, finished=6005.0)
    past.put("a-1", sent=1000.0)


def test_all_that_is_known(past: Past, backend: FakeBackend) -> None:
    sent_again(past)
    log = past.log("a-1.1", "text")
    result = call(past, "describe", "align")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    for words in (
        "align (sample=a) State succeeded Snakemake job 3, attempt 1 Outputs align.a",
        "Requested 4 processor(s), 1,000 MB of memory, 1 h, 1 GPU(s)",
        "--grid-backend dirac --grid-site A,B --grid-include 'x y' z --grid-describe Submission",
        "Submission 1 of 2: a-1 Grid id 1 (dirac) State failed Site A",
        "Reason the pilot was lost",
        "Submission 2 of 2: a-1.1 Grid id 2 (dirac) State succeeded Site B Host wn1.cern.ch",
        "submission, 1 min",
        "queued, 1 h",
        "running, 5 min",
        "fetching results, 5 s",
        "received 1 s, staging in 1 min, running 5 min",
        "4 min of processor time, 250 of 1,000 MB of memory; 1,234,567 bytes in, 89",
        f"Output {log}",
        "Web page https://monitor/2",
    ):
        assert words in text
    assert backend.calls == [], "the web page needs no server"
    assert backend.closed == 1


def test_jobs_that_share_a_grid_job(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    for name, sample in (("a-1", "x"), ("a-2", "y"), ("a-3", "z")):
        past.job(name, sample=sample, grid_id=f"7/{name}")
    assert "grid job 7, which other jobs share" in call(past, "describe", "a-2").output
    assert call(past, "describe", "7").output.count("Submission:") == 3


def test_a_script_has_the_command_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    command = "printf 'a\rb\x1b[1m\udcff'"
    decision = Decision(((Step("one", commands=(Command(command),)),),))
    job: Any = SimpleNamespace(origin="a-1")
    _print_scripts([job], {"a-1": decision}, Path())
    words = command.encode("utf-8", "surrogateescape").removeprefix(b"printf ").strip(b"'")
    assert words in capfdbinary.readouterr().out


def test_as_json(past: Past, backend: FakeBackend) -> None:
    sent_again(past)
    (job,) = json.loads(call(past, "describe", "2", "--json").stdout)["jobs"]
    assert (job["rule"], job["wildcards"], job["origin"]) == ("align", {"sample": "a"}, "a-1")
    assert (job["state"], job["waits_for"]) == ("succeeded", None)
    assert job["requested"]["memory_mb"] == 1000
    assert job["options"]["site"] == "A,B"
    first, second = job["submissions"]
    assert (first["name"], first["state"], first["reason"]) == (
        *("a-1", "failed", "the pilot was lost"),
    )
    assert second["times"]["running"] == 5660.0
    assert second["report"] == REPORT
    assert second["page"] == "https://monitor/2"
    assert second["log"] is None
    assert "server" not in second


def test_the_server_is_asked_for_what_is_open(past: Past, backend: FakeBackend) -> None:
    sent_again(past)
    past.job("a-2", sample="b", grid_id="3", said=JobStatus(JobState.QUEUED))
    past.job("a-3", sample="c", grid_id="4")
    past.job("a-4", sample="d")
    backend.statuses = {"3": JobStatus(JobState.RUNNING, "Application started", "C")}
    result = call(past, "describe", "align", "--server")
    assert "running, Application started, at C" in " ".join(result.output.split())
    assert backend.called("states") == [["3", "4"]]
    jobs = json.loads(call(past, "describe", "align", "--server", "--json").stdout)["jobs"]
    said = {job["submissions"][-1]["name"]: job["submissions"][-1]["server"] for job in jobs}
    assert said == {
        "a-1.1": None,
        "a-2": {"state": "running", "detail": "Application started", "site": "C"},
        "a-3": {"state": "unknown", "detail": "", "site": ""},
        "a-4": None,
    }
    assert {job["origin"]: job["waits_for"] for job in jobs}["a-4"].startswith(
        "the submission was not"
    )


@pytest.mark.parametrize("place", ["make", "states"])
def test_a_server_that_does_not_answer(past: Past, backend: FakeBackend, place: str) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    backend.errors[place] = TransientError("no answer")
    result = call(past, "describe", "align", "--server", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["problems"] == ["dirac was not asked: no answer"]
    shown = call(past, "describe", "align", "--server")
    assert "dirac was not asked: no answer" in shown.stderr
    assert "align (sample=a)" in shown.stdout
    # Without a page it is still described, and that is nothing to complain of.
    assert call(past, "describe", "align").stderr == ""


def test_a_job_of_which_hardly_anything_is_known(past: Past, backend: FakeBackend) -> None:
    past.job("a-1")  # of a run that has not noted itself
    past.put("a-1", requested="{}", outputs="[]", began=None)
    text = " ".join(call(past, "describe", "align").output.split())
    assert "Submission: a-1 Grid id none (dirac) State waiting" in text
    assert "Options" not in text
    assert backend.made == []


def test_beside_a_run_nothing_of_it_is_touched(past: Past, tmp_path: Path) -> None:
    past.run("run1", "local", local_dir=str(tmp_path / "sites"))
    past.put_run("run1", settings=json.dumps({"local_dir": str(tmp_path / "sites")}))
    past.job("a-1", grid_id="1")
    (past.folder / "spool").mkdir()
    assert call(past, "describe", "align").exit_code == 0
    assert (past.folder / "spool").is_dir()
    assert not (tmp_path / "sites").exists()


def test_a_report_with_odd_values_is_no_traceback(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    odd = {"host": None, "times": 5, "cpu_seconds": "long", "peak_memory_mb": [], "bytes_in": -1}
    past.journal.ended("a-1", Phase.FAILED, "no output", json.dumps(odd))
    result = call(past, "describe", "a-1")
    assert result.exit_code == 0, result.output
    assert "0 s of processor time, 0 MB of memory; 0 bytes in, 0 bytes out" in result.output
