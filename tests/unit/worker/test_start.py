"""The worker's command line: jobs of a chunk that share a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import WORKDIR, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.start import main


def job(name: str, command: str = "true", **fields: object) -> str:
    description = json.loads(Job(name, command, (), (), (), Runtime("inherit")).dumps())
    return json.dumps({**description, **fields})


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    write_worker(folder / "worker.pyz")
    return folder


def run(sandbox: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "worker.pyz", *args],
        cwd=sandbox,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
    )


def test_a_job_of_a_chunk(sandbox: Path) -> None:
    chunk = {
        "a-1": {"job": job("a-1", "echo other"), "environment": {"TOKEN": "other"}},
        "b-2": {"job": job("b-2", "ls ../..; echo $TOKEN"), "environment": {"TOKEN": "mine"}},
    }
    (sandbox / "jobs.json").write_text(json.dumps(chunk))
    ended = run(sandbox, "--jobs", "jobs.json", "b-2")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    report = load_report(sandbox / "report.json")
    assert (report.name, report.reason) == ("b-2", reports.SUCCESS)
    # The payload finds no secrets of the others.
    words = (sandbox / "payload.log").read_text().split()
    assert words[-1] == "mine"
    assert "jobs.json" not in words
    assert "job.json" in words
    for name in ("job.json", "environment.json"):
        assert (sandbox / name).stat().st_mode & 0o777 == 0o600
        assert "other" not in (sandbox / name).read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({"a": {"job": job("a"), "environment": {}}}), "no job b-2"),
        ("[]", "no job b-2"),
        ('{"b-2": {"job', "jobs.json: damaged"),
        ("\udcff", "jobs.json: damaged"),
        ('{"b-2": {}}', "job b-2 is damaged"),
        ('{"b-2": null}', "job b-2 is damaged"),
        (json.dumps({"b-2": {"job": "{", "environment": {}}}), "job.json: damaged"),
        (json.dumps({"b-2": {"job": "[]", "environment": {}}}), "job.json: damaged"),
        (json.dumps({"b-2": {"job": job("b-2", blobs=[{}]), "environment": {}}}), "damaged"),
        (json.dumps({"b-2": {"job": job("b-2", surprise=1), "environment": {}}}), "surprise"),
        (json.dumps({"b-2": {"job": job("b-2", version=9), "environment": {}}}), "version 9"),
        (None, "jobs.json"),
    ],
)
def test_a_job_that_cannot_be_read_leaves_a_report(
    sandbox: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (sandbox / "jobs.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    ended = run(sandbox, "--jobs", "jobs.json", "b-2")
    assert ended.returncode == reports.NO_REPORT
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    report = load_report(sandbox / "report.json")
    assert (report.name, report.reason) == ("b-2", reports.WORKER_FAILED)
    assert said in report.message
    assert not (sandbox / "jobs.json").exists()
    assert not (sandbox / ".reserve").exists()


def test_a_folder_that_the_configuration_cannot_name_is_told(tmp_path: Path) -> None:
    sandbox = tmp_path / "it's"
    sandbox.mkdir()
    write_worker(sandbox / "worker.pyz")
    (sandbox / "job.json").write_text(job("a-1", f"ls '{WORKDIR}'"))
    (sandbox / "environment.json").write_text("{}")
    assert run(sandbox).returncode == 1
    report = load_report(sandbox / "report.json")
    assert report.reason == reports.WORKER_FAILED
    assert "configuration" in report.message
    assert "Error" not in report.message


def test_a_damaged_job_without_a_name_leaves_a_message(sandbox: Path) -> None:
    (sandbox / "job.json").write_text("{")
    ended = run(sandbox)
    assert ended.returncode == reports.NO_REPORT
    assert "job.json: damaged" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (sandbox / "report.json").exists()


def test_a_second_worker_leaves_the_first_ones_report_alone(sandbox: Path) -> None:
    chunk = {"b-2": {"job": job("b-2"), "environment": {}}}
    (sandbox / "jobs.json").write_text(json.dumps(chunk))
    assert run(sandbox, "--jobs", "jobs.json", "b-2").returncode == 0
    second = run(sandbox, "--jobs", "jobs.json", "b-2")
    assert second.returncode == 1
    assert "Another worker" in second.stderr
    assert load_report(sandbox / "report.json").reason == reports.SUCCESS


@pytest.mark.parametrize("args", [["--jobs"], ["--jobs", "f"], ["a", "b"], ["--jobs", *"abc"]])
def test_wrong_arguments(args: list[str]) -> None:
    with pytest.raises(SystemExit, match="usage"):
        main(args)
