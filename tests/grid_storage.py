"""Workflows whose data are on the grid, and Snakemake without the executor."""

from __future__ import annotations

from pathlib import Path

from tests.command import SNAKEMAKE
from tests.conftest import Finished, Project, finish

MOST_CALLS = 10
"""Of the catalog, for the DAG of a thousand files."""
RELATIVE = """
rule all:
    input: "results/b.txt"
rule a:
    output: temp("results/a.txt")
    log: "logs/a.log"
    shell: "echo text > {output}; echo done > {log}"
rule b:
    input: "results/a.txt"
    output: "results/b.txt"
    shell: "cp {input} {output}"
"""
"""A workflow that names no catalog: with a default storage provider its files are on the grid."""
_CHAIN = """
rule all:
    input: "sum.txt"
rule first:
    input: storage.grid("INPUTS/{n}.txt")
    output: storage.grid(temp("RUN/{n}.txt"))
    shell: "tr a-z A-Z < {input} > {output}"
rule sum:
    input: [storage.grid(f"RUN/{n}.txt") for n in range(COUNT)]
    output: "sum.txt"
    shell: "cat {input} > {output}"
"""


def chain_of(inputs: str, run: str, count: int) -> str:
    """Return a Snakefile with intermediate files on the grid.

    Args:
        inputs: Folder of the files ``0.txt`` and so on.
        run: Folder of the intermediate files.
        count: Of the inputs.
    """
    return _CHAIN.replace("INPUTS", inputs).replace("RUN", run).replace("COUNT", str(count))


def run_without_executor(project: Project, python: Path, *args: str, **variables: str) -> Finished:
    """Run Snakemake, with the jobs on this host.

    Args:
        project: The workflow.
        python: That has DIRAC.
        args: Of Snakemake.
        variables: More variables in its environment.
    """
    options = (
        *("--storage-grid-dirac-python", str(python)),
        *("--storage-grid-storage-element", "SE-1"),
    )
    command = [*SNAKEMAKE, "--cores", "4", "--nocolor", *options, *args]
    return finish(project._start(command, project.folder, variables), 240)
