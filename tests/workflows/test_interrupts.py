"""Interrupts of a run: jobs are cancelled, and nothing is left."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Project, finish
from tests.faults import eventually

from .fault_bench import assert_nothing_left, notes, processes, seen

__all__ = ["notes"]

pytestmark = pytest.mark.workflow


MANY = """
rule all:
    input: expand("out/{{n}}.txt", n=range(5))
rule a:
    output: "out/{{n}}.txt"
    shell: "touch {notes}/begun-{{wildcards.n}}; setsid sleep 300 & {wait}; touch {{output}}"
"""


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_interrupt_cancels_all_jobs(project: Project, notes: Path, start: str) -> None:
    project.put("Snakefile", MANY.format(notes=notes, wait="wait"))
    cold = ["--grid-local-cold"] if start == "cold" else []
    process = project.start("--grid-local-cores", "3", "--jobs", "5", *cold)
    eventually(lambda: len(seen(notes)) == 3)
    assert processes(project, "sleep\x00300")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    run = finish(process, 30).failed()
    assert time.monotonic() - began < 20
    assert_nothing_left(project)
    assert len(seen(notes)) == 3
    assert "Not confirmed" not in run.output
    assert not list((project.folder / "out").glob("*"))
    # The next run starts normally.
    project.put("Snakefile", MANY.format(notes=notes, wait="true"))
    again = project.run().succeeded()
    assert "left behind" not in again.output


def test_interrupt_before_the_first_job_leaves_nothing(project: Project, notes: Path) -> None:
    project.put("Snakefile", MANY.format(notes=notes, wait="wait"))
    process = project.start("--jobs", "5")
    # The local server runs, and the worker of the first job is being prepared.
    eventually(lambda: list(project.site.folder.glob("*/site.sqlite")))
    process.send_signal(signal.SIGINT)
    finish(process, 40).failed()
    assert_nothing_left(project)
