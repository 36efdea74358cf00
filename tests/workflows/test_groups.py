"""Point 14: groups, pipes, services and node-local files."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


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
