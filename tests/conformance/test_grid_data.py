"""Workflows whose intermediates stay on the grid, on each backend whose nodes reach a catalog."""

from __future__ import annotations

import pytest

from tests.conftest import Project

from .backend import Backend

pytestmark = pytest.mark.workflow

CHAIN = """
RUN = "{folder}"
rule all:
    input: "sum.txt"
rule make:
    output: storage.grid(RUN + "/raw/{{n}}.txt")
    log: "logs/{{n}}.log"
    shell: "seq {{wildcards.n}} >{{output}}; echo made >{{log}}"
rule select:
    input: storage.grid(RUN + "/raw/{{n}}.txt")
    output: storage.grid(temp(RUN + "/sel/{{n}}.txt"))
    shell: "head -n 2 {{input}} >{{output}}"
rule sum:
    input: [storage.grid(f"{{RUN}}/sel/{{n}}.txt") for n in (3, 4)]
    output: "sum.txt"
    shell: "cat {{input}} >{{output}}"
"""


def test_intermediates_stay_on_the_grid(project: Project, backend: Backend) -> None:
    folder, options = backend.grid_data(project)
    project.put("Snakefile", CHAIN.format(folder=folder))
    project.run(*options).succeeded()
    assert project.read("sum.txt") == "1\n2\n1\n2\n"
    assert project.read("logs/3.log") == "made\n"
    assert not list((project.folder / ".snakemake" / "storage").rglob("*.txt"))
    assert "Nothing to be done" in project.run(*options).succeeded().output
    # The temporary files were removed, the others are inputs of the next workflow.
    project.put(
        "Snakefile",
        f"""
rule again:
    input: storage.grid("{folder}/raw/3.txt")
    output: "again.txt"
    shell: "wc -l <{{input}} >{{output}}"
""",
    )
    project.run(*options).succeeded()
    assert project.read("again.txt").strip() == "3"
    project.put(
        "Snakefile",
        f"""
rule gone:
    input: storage.grid("{folder}/sel/3.txt")
    output: "gone.txt"
    shell: "cp {{input}} {{output}}"
""",
    )
    assert "MissingInputException" in project.run(*options).failed().output
