"""Point 2: jobs below a checkpoint find what it made, and do not make it again."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

# Where the checkpoint runs, it leaves a file of a new name, and its output differs each time.
WORKFLOW = """
rule all:
    input: "all.txt"
rule seed:
    output: "seed.txt"
    shell: "echo a b > {output}"
checkpoint split:
    input: "seed.txt"
    output: folder=directory("parts"), token="token.txt"
    shell: "mktemp -u XXXXXXXX > {output.token}; mkdir {output.folder}; "
           "for n in $(cat {input}); do cp {output.token} {output.folder}/$n.txt; done; "
           "touch ran.$(cat {output.token})"
rule copy:
    input: "parts/{n}.txt"
    output: "copies/{n}.txt"
    shell: "cp {input} {output}"
rule other:  # needs nothing of the checkpoint itself
    output: "other/{n}.txt"
    shell: "touch {output}"
def names(wildcards):
    from pathlib import Path
    found = checkpoints.split.get().output
    with open(found.token) as stream:
        assert stream.read().strip()
    return sorted(path.stem for path in Path(found.folder).glob("*.txt"))
rule gather:
    input:
        lambda wildcards: expand("copies/{n}.txt", n=names(wildcards)),
        lambda wildcards: expand("other/{n}.txt", n=names(wildcards)),
    output: "all.txt"
    params: names=names
    shell: "(echo {params.names}; cat {input}) > {output}"
"""


def test_a_checkpoint_runs_once_only(project: Project) -> None:
    project.write(Snakefile=WORKFLOW)
    project.run("--grid-undeclared", "fetch").succeeded()
    token = project.read("token.txt")
    assert project.read("all.txt") == "a b\n" + 2 * token
    assert [path.name for path in project.folder.glob("ran.*")] == [f"ran.{token.strip()}"]

    # In this run the checkpoint is up to date from the start.
    (project.folder / "copies" / "a.txt").unlink()
    (project.folder / "all.txt").unlink()
    project.run("--grid-undeclared", "fetch").succeeded()
    assert project.read("all.txt") == "a b\n" + 2 * token
    assert len(list(project.folder.glob("ran.*"))) == 1
