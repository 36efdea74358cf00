"""Faults of the local server and of its workers: each fails its own job, and the rest goes on."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Project, finish
from tests.faults import eventually

from .fault_bench import TWO, assert_nothing_left, assert_output, notes, processes, seen

__all__ = ["notes"]

pytestmark = pytest.mark.workflow


ONCE = """
rule all:
    input: expand("out/{{n}}.txt", n=range(3)), "last.txt"
rule a:
    output: "out/{{n}}.txt"
    shell:
        "mktemp {notes}/{{wildcards.n}}-XXXXXX; "
        "while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule last:
    input: expand("out/{{n}}.txt", n=range(3))
    output: "last.txt"
    shell: "mktemp {notes}/last-XXXXXX; touch {{output}}"
"""


def runs(notes: Path) -> list[str]:
    return sorted(name.partition("-")[0] for name in seen(notes) if "-" in name)


def test_killed_local_server_is_restarted_and_no_job_runs_twice(
    project: Project, notes: Path
) -> None:
    project.put("Snakefile", ONCE.format(notes=notes))
    process = project.start("--grid-local-cores", "2")
    eventually(lambda: len(runs(notes)) == 2)
    (site,) = processes(project, "backends.local.server")
    os.kill(site, signal.SIGKILL)
    eventually(lambda: processes(project, "backends.local.server") not in ([], [site]))
    (notes / "go").touch()
    finish(process).succeeded()
    assert runs(notes) == ["0", "1", "2", "last"]
    assert_nothing_left(project)


def test_killed_warm_process_fails_no_job(project: Project, notes: Path) -> None:
    project.put("Snakefile", ONCE.format(notes=notes))
    process = project.start("--grid-local-cores", "3")
    eventually(lambda: len(runs(notes)) == 3)
    (site,) = processes(project, "backends.local.server")
    children = Path(f"/proc/{site}/task/{site}/children").read_text().split()
    (warm,) = set(map(int, children)) & set(processes(project, ".warm as warm"))
    os.kill(warm, signal.SIGKILL)
    (notes / "go").touch()
    finish(process).succeeded()
    assert runs(notes) == ["0", "1", "2", "last"]
    assert_nothing_left(project)


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_killed_worker_fails_only_its_job(project: Project, notes: Path, start: str) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "b.txt", "victim.txt"
rule victim:
    output: "victim.txt"
    shell: "touch {notes}/victim; setsid sleep 300 & wait; touch {{output}}"
rule a:
    output: "a.txt"
    shell: "while [ ! -e {notes}/go ]; do sleep 0.1; done; touch {{output}}"
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "touch {{output}}"
""",
    )
    cold = ["--grid-local-cold"] if start == "cold" else []
    process = project.start("--keep-going", *cold)
    eventually(lambda: seen(notes) == ["victim"])
    (started,) = project.site.folder.glob("*/jobs/victim-*/started")
    os.kill(int(started.read_text()), signal.SIGKILL)
    eventually(lambda: not processes(project, "sleep\x00300"), 5)
    (notes / "go").touch()
    run = finish(process).failed()
    assert re.search(
        r"rule victim, local job \d+: .*the worker died without a report \(kill -9", run.output
    )
    assert (project.folder / "b.txt").exists()
    assert not (project.folder / "victim.txt").exists()
    assert_nothing_left(project)


def test_worker_that_never_starts_fails_its_job(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 300 &\nwait\n")
    python.chmod(0o755)
    project.put("Snakefile", TWO.format(a="touch {output}"))
    began = time.monotonic()
    run = project.run(
        *("--grid-local-python", str(python), "--grid-start-limit", "2", "--keep-going")
    ).failed()
    assert time.monotonic() - began < 30
    assert len(re.findall("the worker did not start within 2 s", run.output)) >= 2
    assert_nothing_left(project)


def test_error_quotes_a_program_that_is_not_a_python(project: Project, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho I am no Python >&2\nexit 7\n")
    python.chmod(0o755)
    project.put("Snakefile", TWO.format(a="touch {output}"))
    run = project.run("--grid-local-python", str(python)).failed()
    assert_output(run, "no report came back")
    assert_output(run, "I am no Python")
    assert_nothing_left(project)


@pytest.mark.slow  # Snakemake's shortest runtime is a minute
def test_job_past_its_runtime_fails_in_time(project: Project) -> None:
    project.put(
        "Snakefile",
        TWO.format(a="sleep 300").replace(
            'output: "a.txt"', 'output: "a.txt"\n    resources: runtime=1'
        ),
    )
    began = time.monotonic()
    run = project.run("--keep-going").failed()
    assert time.monotonic() - began < 100
    assert re.search(r"rule a, local job \d+: time limit: .* 60 s", run.output)
    assert (project.folder / "b.txt").exists()
    assert_nothing_left(project)


def test_jobs_wait_for_a_free_slot(project: Project, notes: Path) -> None:
    project.put(
        "Snakefile",
        f"""
rule all:
    input: expand("{{n}}.txt", n=["a", "b", "huge"])
rule slot:
    output: "{{n}}.txt"
    threads: lambda wildcards: 1
    resources: mem_mb=lambda wildcards: 10**8 if wildcards.n == "huge" else 10
    shell:
        "mkdir {notes}/lock || touch {notes}/together; sleep 1; rmdir {notes}/lock; "
        "touch {{output}}"
""",
    )
    project.run("--grid-local-cores", "1", "--resources", "mem_mb=1000000000").succeeded()
    assert seen(notes) == []
