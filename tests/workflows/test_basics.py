"""Plain workflows run as they do on one machine."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


def test_a_chain_with_log_and_benchmark(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "out/c.txt"
rule a:
    output: "out/a{n}.txt"
    log: "logs/a{n}.log"
    shell: "echo hi {wildcards.n} > {output}; echo logged > {log}"
rule c:
    input: expand("out/a{n}.txt", n=range(4))
    output: "out/c.txt"
    benchmark: "bench/c.tsv"
    shell: "cat {input} > {output}"
"""
    )
    project.run().succeeded()
    assert project.read("out/c.txt") == "hi 0\nhi 1\nhi 2\nhi 3\n"
    assert project.read("logs/a2.log") == "logged\n"
    assert project.read("bench/c.tsv").startswith("s\t")


def test_the_worker_cannot_see_the_submit_directory(project: Project) -> None:
    project.put("secret.bin", "x" * (2 << 20))  # too large to travel with the sources
    project.put(
        "Snakefile",
        f"""
rule all:
    output: "seen.txt"
    shell: "ls -A {project.folder} > {{output}}; ! ls {project.folder}/secret.bin"
""",
    )
    project.run().succeeded()
    assert project.read("seen.txt") == ""


def test_cold_and_warm_start_give_the_same_result(project: Project) -> None:
    project.write(
        Snakefile="""
import os, sys
rule all:
    output: "{start}.txt"
    run:
        with open(output[0], "w") as out:
            print(sys.executable, len(sys.argv), sys.path[0] == os.getcwd(), file=out)
            print(sorted(set(os.environ) - {"OLDPWD", "SHLVL", "_"}), file=out)
            print(sys.flags, file=out)
            print(workflow.rundir == workflow.workdir_init == os.getcwd(), file=out)
"""
    )
    project.run("warm.txt").succeeded()
    project.run("cold.txt", "--grid-local-cold").succeeded()
    assert project.read("warm.txt") == project.read("cold.txt")
    assert project.read("warm.txt").endswith("True\n")
