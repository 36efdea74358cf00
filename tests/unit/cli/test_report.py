from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.database import FOLDER
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from tests.unit.reporting.fabricated_runs import HOUR, START, a_job, a_run, workflow, write


def invoke(*args: str) -> Result:
    result = CliRunner().invoke(main, ["report", *args])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    directory = tmp_path / "z-lineshape"
    write(directory, *workflow())
    return directory


def test_a_page_is_written(workdir: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    output = tmp_path / "out.html"
    result = invoke("-d", str(workdir), "-o", str(output))
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{output}: ")
    assert "304 jobs" in result.output
    page = output.read_text()
    assert "<h1>z-lineshape</h1>" in page
    assert str(tmp_path) not in page


def test_the_page_is_in_this_directory_if_nothing_else_is_said(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    assert invoke("-d", str(workdir)).exit_code == 0
    assert (tmp_path / "grid-report.html").stat().st_size > 1_000_000


def test_json(workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "plotly", None)  # not needed
    result = invoke("-d", str(workdir), "--json")
    found = json.loads(result.output)
    assert (found["workflow"], found["totals"]["jobs"]) == ("z-lineshape", 304)
    assert [run["name"] for run in found["runs"]] == ["k3v9", "m8q2"]
    failed = found["failures"]["jobs"]
    assert any((workdir / path).is_file() for one in failed for path in one["logs"])
    assert not (tmp_path / "grid-report.html").exists()


def test_runs_can_be_chosen(workdir: Path) -> None:
    def names(*args: str) -> tuple[list[str], int]:
        found = json.loads(invoke("-d", str(workdir), "--json", *args).output)
        assert {job["run"] for job in found["jobs"]} == {run["name"] for run in found["runs"]}
        return [run["name"] for run in found["runs"]], len(found["jobs"])

    both, first, last = names(), names("--run", "k3v9"), names("--last")
    assert first[0] == ["k3v9"]
    assert last[0] == ["m8q2"]
    assert first[1] + last[1] == both[1]
    assert names("--run", "k3v9", "--run", "m8q2") == both


def test_a_run_that_is_not_there(workdir: Path) -> None:
    result = invoke("-d", str(workdir), "--run", "nope")
    assert result.exit_code == 1
    assert result.output == "Error: --run nope: no such run here; there are: k3v9, m8q2\n"
    assert invoke("-d", str(workdir), "--run", "k3v9", "--last").exit_code == 2


def test_without_plotly_it_says_what_to_install(
    workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "plotly"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    for name in ("page", "figures"):
        monkeypatch.delitem(
            sys.modules, f"snakemake_executor_plugin_grid.reporting.{name}", raising=False
        )
    result = invoke("-d", str(workdir), "-o", str(tmp_path / "out.html"))
    assert result.exit_code == 1
    assert "pip install 'snakemake-executor-plugin-grid[report]'" in result.output
    assert not (tmp_path / "out.html").exists()


def test_a_page_that_cannot_be_written(workdir: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    output = tmp_path / "absent" / "out.html"
    result = invoke("-d", str(workdir), "-o", str(output))
    assert result.exit_code == 1
    assert result.output == f"Error: {output}: cannot be written: No such file or directory\n"


def test_a_run_without_jobs_makes_no_page(tmp_path: Path) -> None:
    write(tmp_path, [a_run()], [])
    result = invoke("-d", str(tmp_path), "-o", str(tmp_path / "out.html"))
    assert result.exit_code == 1
    assert "no page" in result.output
    assert json.loads(invoke("-d", str(tmp_path), "--json").output)["jobs"] == []


@pytest.mark.parametrize("going_on", [True, False])
def test_open_jobs_go_on_while_their_run_does(tmp_path: Path, going_on: bool) -> None:
    # A process of another host, or one that got the same number later, tells nothing.
    killed = a_run("r0", started=START - HOUR, ended=None, pid=os.getpid())
    run = a_run(ended=None, host="elsewhere.example.org")
    jobs = [a_job("a-r0-1", run="r0", sent=START - HOUR, accepted=START - HOUR + 5)]
    write(tmp_path, [killed, run], [*jobs, a_job(sent=START, accepted=START + 5)])

    def last_segment(name: str) -> str:
        (job,) = json.loads(invoke("-d", str(tmp_path), "--json", "--run", name).output)["jobs"]
        return str(job["segments"][-1]["kind"])

    lock = lock_folder(tmp_path / FOLDER) if going_on else None
    assert last_segment("r1") == ("waiting in the queue" if going_on else "submitting")
    assert last_segment("r0") == "submitting"
    if lock:
        lock.close()
