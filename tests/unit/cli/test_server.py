"""What commands ask the server of earlier runs, as ``status --server`` shows it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import click
import pytest

from snakemake_executor_plugin_grid.cli.server import python_options
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.model.errors import CredentialsError, GridError, TransientError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from tests.unit.journal.test_reader import Past, past

from .commands import FakeBackend, call, document, states_of

__all__ = ["past"]


def test_the_server_is_asked_in_one_call(past: Past, backend: FakeBackend) -> None:
    states_of(past)
    backend.statuses = {"2": JobStatus(JobState.RUNNING, "", "LYON")}
    found = document(past, "--server")
    assert found["servers"] == {"dirac": None}
    assert backend.called("states") == [sorted(["1", "2", "3", "4", "5", "6", "8"])]
    assert backend.closed == 1
    jobs = {job["name"]: job for job in found["jobs"]}
    assert (jobs["queued"]["state"], jobs["queued"]["site"]) == ("running", "LYON")
    assert jobs["running"]["state"] == "unknown"
    assert jobs["installed"]["state"] == "outputs installed"
    assert past.records()["queued"].state == "queued", "it has written into the journal"


def test_without_need_no_server_is_asked(past: Past, backend: FakeBackend) -> None:
    states_of(past)
    document(past)
    assert backend.made == []
    past.database.change("UPDATE jobs SET phase='failed'", [()])
    assert document(past, "--server")["servers"] == {}
    assert backend.made == []


def test_one_of_several_backends_is_opened_alone(past: Past, backend: FakeBackend) -> None:
    past.run("run1", "dirac", site="A")
    past.run("run2", "local,dirac", site="B")
    past.put_run("run2", started=time.time() + 1)
    past.journal = Journal(past.database, "run2", "dirac")
    past.job("a-1", grid_id="1")
    document(past, "--server")
    ((settings, _, _),) = backend.made
    assert (settings.backend, settings.site) == ("dirac", "B")


def test_it_is_asked_by_the_options_of_its_last_run(past: Past, backend: FakeBackend) -> None:
    past.run("run1", "dirac", site="A")
    past.run("run2", "dirac", site="B")
    past.put_run("run2", started=time.time() + 1)
    past.run("run3", "panda", site="C")
    past.put_run("run3", started=time.time() + 2)
    past.run("run4", "dirac", site="B")
    past.put_run("run4", started=1.0)
    past.job("a-1", grid_id="1")
    document(past, "--server")
    ((settings, workdir, guest),) = backend.made
    assert (settings.backend, settings.site) == ("dirac", "B")
    assert workdir == past.directory.resolve()
    assert guest


@pytest.mark.parametrize("by", ["run", "option", "variable"])
def test_a_python_that_has_moved(
    past: Past, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    past.run("run1", dirac_python="/gone/python", panda_python="/other/python")
    past.job("a-1", grid_id="1")
    python = past.directory / "python"
    arguments = ["--grid-dirac-python", str(python)] if by == "option" else []
    if by == "variable":
        monkeypatch.setenv("SNAKEMAKE_GRID_DIRAC_PYTHON", str(python))
    if by != "run":
        missing = call(past, "status", "--server", *arguments)
        assert missing.exit_code == 2
        assert "no program that can be run" in missing.output
        python.touch(mode=0o755)
    document(past, "--server", *arguments)
    ((settings, _, _),) = backend.made
    assert settings.dirac_python == (Path("/gone/python") if by == "run" else python)
    assert settings.panda_python == Path("/other/python")


@pytest.mark.parametrize("place", ["make", "check_credentials", "states"])
@pytest.mark.parametrize(
    "error",
    [
        TransientError("no answer"),
        CredentialsError("no answer; run dirac-proxy-init"),
        RuntimeError("no answer of the library"),
    ],
)
def test_an_outage(past: Past, backend: FakeBackend, place: str, error: Exception) -> None:
    if place == "make" and not isinstance(error, GridError):
        error = GridError("no answer")
    states_of(past)
    backend.errors[place] = error
    result = call(past, "status", "--server")
    assert result.exit_code == 0
    assert re.search("dirac was not asked.*no answer", result.output), result.output
    assert "held: needs attention" in result.output
    assert "no answer" in document(past, "--server")["servers"]["dirac"]
    assert backend.closed == (0 if place == "make" else 2)


def test_a_warning_spoils_no_document(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    backend.warning = "the proxy expires in 5 min"
    result = call(past, "status", "--server", "--json")
    assert json.loads(result.stdout)["servers"] == {"dirac": None}
    assert "expires in 5 min" in result.stderr


def test_jobs_of_a_backend_whose_options_nobody_noted(past: Past, backend: FakeBackend) -> None:
    past.job("a-1", grid_id="1")
    assert "no run has noted" in document(past, "--server")["servers"]["dirac"]
    assert backend.made == []


def test_a_local_site_of_another_host(past: Past, backend: FakeBackend) -> None:
    past.run("run1", "local")
    past.put_run("run1", host="elsewhere")
    past.job("a-1", grid_id="1")
    assert "run on elsewhere" in document(past, "--server")["servers"]["local"]
    assert backend.made == []


def test_what_the_server_says_of_a_job_that_is_held(past: Past, backend: FakeBackend) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1", said=JobStatus(JobState.HELD))
    backend.statuses = {"1": JobStatus(JobState.HELD, "pilot is paused")}
    assert "attention (pilot is paused)" in call(past, "status", "--server").output


def test_the_options_are_those_of_the_executor() -> None:
    def command() -> None: ...

    made = click.command()(python_options(command))
    found = {
        option.name: option.envvar for option in made.params if isinstance(option, click.Option)
    }
    assert found == {
        "dirac_python": "SNAKEMAKE_GRID_DIRAC_PYTHON",
        "panda_python": "SNAKEMAKE_GRID_PANDA_PYTHON",
    }
