"""``snakemake-grid check`` as a user calls it, with a job on the local backend."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import Finished, Project, finish, processes_below
from tests.faults import eventually
from tests.servers.stores.fixtures import s3
from tests.servers.stores.s3 import S3Server

__all__ = ["s3"]

pytestmark = pytest.mark.workflow

COMMAND = [
    *(sys.executable, "-c"),
    "from snakemake_executor_plugin_grid.cli.check import check; check(prog_name='check')",
]
SLOW = ("--grid-runtime", "setup", "--grid-runtime-setup", "sleep 300")


class Check(Project):
    """The command in the directory of a project, with the same options."""

    def __init__(self, project: Project) -> None:
        super().__init__(project.folder, project.site)
        temporary = project.folder.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        self.environment = {**project.environment, "TMPDIR": str(temporary)}

    def command(self, *args: str) -> list[str]:
        options = list(self.site.options)
        if "--seconds-between-status-checks" in options:  # of Snakemake itself
            at = options.index("--seconds-between-status-checks")
            del options[at : at + 2]
        return [*COMMAND, *options, *args]


def check(project: Project, *args: str) -> Finished:
    done = finish(Check(project).start(*args), 200)
    assert "Traceback" not in done.output, done.output
    return done


def left(project: Project) -> list[str]:
    """Return what is in the temporary folder, where the checks work."""
    return [path.name for path in (project.folder.parent / "tmp").iterdir()]


def document(output: str) -> Mapping[str, object]:
    found = json.loads(output[output.index("\n{") if not output.startswith("{") else 0 :])
    assert isinstance(found, dict)
    return found


def test_a_job_goes_there_and_comes_back(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "store"
    options = ("--grid-store", f"file://{store}", "--grid-include", "no-such-file-here")
    done = check(project, "--submit", *options).succeeded()
    line = next(line for line in done.output.splitlines() if line.startswith("✓ job"))
    assert f"ran at {project.site.name} on " in line
    assert f"Snakemake {version('snakemake')}" in line
    assert "staged in" in line
    assert "came back" in line
    assert "Options: local-isolation, local-dir, store, include from the command" in done.output
    assert list(project.folder.iterdir()) == []
    assert left(project) == []
    assert not store.exists()
    assert list(project.site.folder.iterdir()) == []


def test_the_same_for_scripts(project: Project) -> None:
    done = check(project, "--submit", "--json").succeeded()
    found = document(done.output)
    assert found["ok"] is True
    checks = found["checks"]
    assert isinstance(checks, list)
    job = checks[-1]
    assert job["name"] == "job"
    assert job["facts"]["snakemake"] == version("snakemake")
    assert job["facts"]["seconds"].keys() >= {"submitted", "waited", "ran", "came back"}


def test_beside_a_run_nothing_of_it_is_touched(project: Project, tmp_path: Path) -> None:
    go = tmp_path / "go"
    project.put(
        "Snakefile",
        f"""
rule all:
    output: "out.txt"
    shell: "until test -e {go}; do sleep 0.1; done; echo done > {{output}}"
""",
    )
    process = project.start()
    try:
        eventually(lambda: bool(processes_below(go)))
        done = check(project, "--submit").succeeded()
        assert "a run, or a command that changes something, is active" in done.output
        assert "held by the active run" in done.output
    finally:
        go.touch()
        finish(process, 100).succeeded()
    assert project.read("out.txt") == "done\n"


def test_a_worker_without_snakemake(project: Project) -> None:
    setup = ("--grid-runtime", "setup", "--grid-runtime-setup", "echo no such software; false")
    done = check(project, "--submit", *setup)
    assert done.code == 1
    text = done.output[done.output.index("✗ job") :]
    assert "local job 1 has failed at local" in text
    log = next(Path(word) for word in text.split() if word.endswith("/snakemake.log"))
    assert "Error in rule hello" in log.read_text()


def test_a_job_that_takes_too_long_is_cancelled(project: Project) -> None:
    done = check(project, "--submit", "--timeout", "0.1", *SLOW)
    assert done.code == 1
    assert "not ended within 0.1 min" in done.output
    assert "running at local" in done.output
    assert processes_below(project.site.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_job(project: Project, number: int) -> None:
    process = Check(project).start("--submit", *SLOW)
    try:
        eventually(lambda: bool(_sandboxes(project)))
        time.sleep(1)
        os.kill(process.pid, number)
        done = finish(process, 60).failed()
    finally:
        process.kill()
    assert done.code == 1
    assert "Aborted!" in done.output
    assert processes_below(project.site.folder) == []
    assert left(project) == []


def _sandboxes(project: Project) -> list[Path]:
    return list(project.site.folder.glob("*/jobs/*/job.json"))


def test_nothing_stays_in_a_bucket(project: Project, s3: S3Server) -> None:
    project.environment.update(s3.environment)
    done = check(project, "--submit", "--store", "s3://bucket/me").succeeded()
    assert "✓ store            s3://bucket/me: a small file written" in done.output
    assert "✓ job" in done.output
    assert list(s3.keys("bucket")) == []
    missing = check(project, "--store", "s3://nosuchbucket/me")
    assert missing.code == 1
    assert "NoSuchBucket" in missing.output
