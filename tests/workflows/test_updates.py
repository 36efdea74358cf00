"""Point 6: a file that a job updates gets to the worker, and outlives a job that fails."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Project

from .both_ways import site

__all__ = ["site"]

pytestmark = pytest.mark.workflow


def test_an_update_sees_the_old_content(project: Project) -> None:
    project.put("total.txt", "old\n")
    project.write(
        Snakefile="""
rule all:
    input: "total.txt", "fresh.txt"
    output: touch("done")
rule old:
    output: update("total.txt")
    shell: "echo new >> {output}"
rule fresh:
    output: update("fresh.txt")
    shell: "echo new >> {output}"
"""
    )
    project.run("--force", "total.txt", "fresh.txt").succeeded()
    assert project.read("total.txt") == "old\nnew\n"
    assert project.read("fresh.txt") == "new\n"


def test_a_failed_update_leaves_the_file_as_it_was(project: Project) -> None:
    folder = project.folder
    for name in ("failing.txt", "retried.txt", "refused.txt"):
        project.put(name, f"{name} of the user\n").chmod(0o640)
    project.put("tree/kept.txt", "kept\n")
    moments = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.txt")}
    project.write(
        Snakefile="""
rule failing:
    output: update("failing.txt"), update(directory("tree"))
    shell: "echo half > {output[0]}; rm {output[1]}/kept.txt; false"
rule retried:
    output: update("retried.txt")
    resources: attempt=lambda wildcards, attempt: attempt
    retries: 2
    shell: "echo {resources.attempt} >> {output}; test {resources.attempt} = 3"
rule refused:
    output: update("refused.txt")
    resources: grid_undeclared="nonsense"
    shell: "echo new >> {output}"
"""
    )
    run = project.run(
        "--keep-going", "--force", "failing.txt", "retried.txt", "refused.txt"
    ).failed()
    assert re.search("grid_undeclared.*'nonsense'", run.output), run.output
    for name in ("failing.txt", "refused.txt"):
        assert project.read(name) == f"{name} of the user\n"
        assert (folder / name).stat().st_mtime_ns == moments[name]
        assert (folder / name).stat().st_mode & 0o777 == 0o640
    assert project.read("tree/kept.txt") == "kept\n"
    # Each attempt began with the file of the user.
    assert project.read("retried.txt") == "retried.txt of the user\n3\n"
    assert not list((folder / ".snakemake" / "grid").glob("backups/*"))
    # Nor does Snakemake take it for incomplete now.
    project.run("--dry-run", "failing.txt").succeeded()
