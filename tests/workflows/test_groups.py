"""Point 14: groups, pipes, services and node-local files."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


def test_14_a_group_brings_all_outputs_but_unneeded_temporary_ones(project: Project) -> None:
    project.put("in/x.bin", "x" * 3000)
    project.write(
        Snakefile="""
rule all:
    input: "c/x.txt", "b/x.txt", "c/y.txt"
rule a:
    input: "in/{n}.bin"
    output: "a/{n}.txt", temp("a/{n}.tmp")
    log: "a/{n}.log"
    group: "together"
    shell: "wc -c < {input} | tee {output} > {log}"
rule b:
    input: "a/{n}.tmp", "in/{n}.bin"
    output: "b/{n}.txt", "b/{n}.only_here"
    group: "together"
    threads: 2
    benchmark: "b/{n}.tsv"
    shell: "cat {input[0]} | tee {output}"
rule c:
    input: "b/{n}.only_here"
    output: "c/{n}.txt"
    group: "together"
    shell: "cp {input} {output}; printenv SNAKEMAKE_GRID_JOB >> {output}"
"""
    )
    project.put("in/y.bin", "y" * 4000)
    # The inputs are too large to travel with the sources.
    project.run(
        *("--grid-source-file-limit", "2000", "--group-components", "together=2")
    ).succeeded()
    names = ("a/x.txt", "a/x.log", "b/x.txt", "b/x.only_here")
    assert [project.read(name) for name in names] == ["3000\n"] * 4
    assert project.read("b/y.tsv").startswith("s\t")
    size, job = project.read("c/x.txt").splitlines()
    assert (size, project.read("c/y.txt")) == ("3000", f"4000\n{job}\n")  # one job for both
    assert not (project.folder / "a" / "x.tmp").exists()


def test_14_the_same_group_in_jobs_of_their_own(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: expand("b/{n}.txt", n=(1, 2))
rule a:
    output: temp("a/{n}.txt")
    shell: "printenv SNAKEMAKE_GRID_JOB > {output}"
rule b:
    input: "a/{n}.txt"
    output: "b/{n}.txt"
    shell: "cp {input} {output}; printenv SNAKEMAKE_GRID_JOB >> {output}"
"""
    )
    project.run("--groups", "a=g", "b=g").succeeded()
    first, second = (project.read(f"b/{n}.txt").splitlines() for n in (1, 2))
    assert len(set(first)) == len(set(second)) == 1
    assert set(first) != set(second)


def test_14_pipes_services_and_node_local_files(project: Project) -> None:
    project.write(
        Snakefile="""
from snakemake.io import flag
rule all:
    input: "piped.txt", "served.txt", "scratched.txt"
rule talk:
    output: pipe("words")
    shell: "echo through the pipe > {output}"
rule listen:
    input: "words"
    output: "piped.txt"
    shell: "cat {input} > {output}"
rule serve:
    output: service("socket")
    shell: "echo open > {output}; trap 'exit 0' TERM; for i in $(seq 300); do sleep 0.1; done"
rule ask:
    input: "socket"
    output: "served.txt"
    shell: "cat {input} > {output}"
rule scratch:
    output: flag("big.tmp", "nodelocal")
    group: "near"
    shell: "echo near > {output}"
rule use:
    input: "big.tmp"
    output: "scratched.txt"
    group: "near"
    shell: "cat {input} > {output}"
"""
    )
    finished = project.run("--grid-undeclared", "fetch").succeeded()
    assert "that no rule names" not in finished.output
    assert project.read("piped.txt") == "through the pipe\n"
    assert project.read("served.txt") == "open\n"
    assert project.read("scratched.txt") == "near\n"
    for name in ("words", "socket", "big.tmp"):
        assert not (project.folder / name).exists(), finished.output
