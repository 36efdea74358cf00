"""Point 15: what comes back from a failed job, and what the user is told."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ONE_TRY, Project

pytestmark = pytest.mark.workflow

_FAILING = """
rule all:
    input: "out/x.txt"
rule breaks:
    output: "out/{n}.txt", directory("out/{n}.dir")
    log: "logs/{n}.log"
    benchmark: "bench/{n}.tsv"
    resources: tries=lambda wildcards, attempt: attempt
    shell:
        "echo half > {output[0]}; mkdir {output[1]}; echo part > {output[1]}/f; "
        "echo attempt {resources.tries} >> {log}; echo benched > bench/{wildcards.n}.tsv; "
        "echo last words >&2; exit 3"
"""


def test_15_keep_incomplete_and_retries(project: Project) -> None:
    project.put("Snakefile", _FAILING)
    finished = project.run("--keep-incomplete", "--retries", "2").failed()
    assert project.read("out/x.txt") == "half\n"
    assert project.read("out/x.dir/f") == "part\n"
    # Each attempt is a job of its own, in an empty directory.
    assert project.read("logs/x.log") == "attempt 3\n"
    backend = project.site.backend
    jobs = re.findall(rf"rule breaks \(n=x\), {backend} job (\d+)", finished.output)
    assert len(set(jobs)) == 3
    last = finished.output.splitlines()[-1]
    assert last.startswith("grid: 0 of 1 jobs succeeded, 1 failed for good: breaks (n=x), payload")
    assert last.endswith("snakemake-grid logs breaks n=x")


def test_a_failed_group_says_why_too(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "b"
rule a:
    output: "a"
    group: "g"
    shell: "echo x > elsewhere"
rule b:
    input: "a"
    output: "b"
    group: "g"
    shell: "cp {input} {output}"
"""
    )
    output = project.run("--latency-wait", "1").failed().output
    assert re.search(
        rf"rule g\S*, {project.site.backend} job \S+: output missing: "
        ".* did not create",
        output,
    )
    assert "files it made that no rule names: elsewhere" in output


def test_a_python_that_is_none_is_named(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "a"
    shell: "touch {output}"
"""
    )
    output = project.run(*ONE_TRY, "--grid-local-python", "/bin/false").failed().output
    assert "/bin/false ended without having begun with the job" in output


def test_a_container_engine_that_is_missing_is_named(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "a"
    resources: grid_runtime="container"
    shell: "touch {output}"
"""
    )
    project.environment["PATH"] = "/usr/bin:/bin"
    output = project.run(*ONE_TRY, "--grid-runtime-image", "/no/image.sif").failed().output
    assert "no runtime" in output
    assert "no apptainer" in output
