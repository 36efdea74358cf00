"""Holes come back as holes; what cannot come back is told."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow


def test_sparse_files_and_fifos(project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: "checked.txt"

rule make:
    output: directory("made")
    shell: "mkdir made; cd made; mkfifo pipe; truncate -s 40G s; echo end >> s"

rule check:
    input: "made"
    output: "checked.txt"
    shell: "tail -c 4 {input}/s > {output}; stat -c '%s %b' {input}/s >> {output}"
"""
    )
    run = project.run().succeeded()
    word, numbers = project.read("checked.txt").splitlines()
    size, blocks = map(int, numbers.split())
    assert (word, size) == ("end", (40 << 30) + 4)
    assert blocks < 1000
    assert (project.folder / "made" / "s").stat().st_blocks < 1000
    assert not (project.folder / "made" / "pipe").exists()
    assert "rule make: left out: made/pipe: a FIFO" in run.output
