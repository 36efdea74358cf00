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


def test_15_logs_come_back_and_outputs_do_not(project: Project) -> None:
    project.put("Snakefile", _FAILING)
    finished = project.run("--show-failed-logs").failed()
    assert project.read("logs/x.log") == "attempt 1\n"
    assert project.read("bench/x.tsv") == "benched\n"
    assert not (project.folder / "out" / "x.txt").exists()
    assert not (project.folder / "out" / "x.dir").exists()
    site = project.site
    message = re.search(
        rf"rule breaks \(n=x\), {site.backend} job (\S+): payload failed: the payload ended with "
        rf"exit code 1 \(host [^,]+, site {site.name}\)\.\nLast lines of its output:\n"
        r"(?: .*\n)*? +last words\n",
        finished.output,
    )
    assert message, finished.output
    assert f"external_jobid: {message[1]}" in finished.output
    told = finished.output[message.start() :]
    # Not drowned by what Snakemake says in the end.
    assert "Removing output files" not in told.partition("Its whole output")[0]
    assert "Logs of the rule: logs/x.log" in told
    whole = re.search(r"Its whole output: (\S+)", told)
    assert whole
    assert "last words\n" in project.read(whole[1])
    # --show-failed-logs prints both, each after a line with its name.
    for name, text in (("logs/x.log", "attempt 1"), (whole[1], "last words")):
        assert re.search(rf"Logfile {re.escape(name)}:\s*=+\n(.*\n)*?.*{text}", told), told


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


def test_15_a_killed_job_brings_its_log_only(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "half.txt"
    log: "all.log"
    shell: "echo half > {output}; echo said > {log}; kill -9 $PPID; sleep 60"
"""
    )
    finished = project.run().failed()
    backend = project.site.backend
    message = rf"rule all, {backend} job \S+: killed: it was killed by SIGKILL"
    assert re.search(message, finished.output), finished.output
    assert project.read("all.log") == "said\n"
    assert not (project.folder / "half.txt").exists()
    assert "Removing output" not in finished.output  # it has not come at all


def test_15_each_attempt_asks_for_its_own_resources(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    output: "out.txt"
    retries: 1
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "echo {resources.mem_mb} > {output}; [ {resources.mem_mb} -gt 100 ]"
"""
    )
    finished = project.run().succeeded()
    assert project.read("out.txt") == "200\n"
    assert finished.output.count(f"rule all, {project.site.backend} job") == 1
    assert finished.output.count("mem_mb=200") == 1


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
