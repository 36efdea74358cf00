"""Several backends in one run: local processes, and a PanDA server."""

from __future__ import annotations

import pytest

from tests.conftest import Project

from .conftest import jobs

pytestmark = [pytest.mark.workflow, pytest.mark.panda]

CHAIN = """
rule all:
    input: "c.txt"
rule a:
    output: "a.txt"
    resources: grid_backend="local"
    shell: "seq 3 > {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    resources: grid_backend="panda"
    shell: "cat {input} > {output}; echo b >> {output}"
rule c:
    input: "a.txt", "b.txt"
    output: "c.txt"
    resources: grid_backend="local"
    shell: "cat {input} > {output}"
"""


def test_what_one_backend_makes_another_one_reads(project: Project) -> None:
    project.write(Snakefile=CHAIN)
    finished = project.run().succeeded()
    assert project.read("c.txt") == "1\n2\n3\n1\n2\n3\nb\n"
    assert jobs(project) == [
        ("a", "local", "succeeded"),
        ("b", "panda", "succeeded"),
        ("c", "local", "succeeded"),
    ], finished.output
