"""A workflow with a bit of everything, whose DAG has been made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.workflow import Internals
from tests.unit.snakemake_api.dags import made

SNAKEFILE = """
include: "rules/more.smk"

rule all:
    input: "one.txt", "two.txt", "table.csv"

rule sort:
    input: "in.csv", "shared.csv"
    output: temp("{sample}.sorted"), temp("{sample}.unused")
    log: "logs/{sample}.log"
    benchmark: "bench/{sample}.tsv"
    shell: "true"

rule show:
    input: "{sample}.sorted", "shared.csv"
    output: "{sample}.txt"
    group: "pair"
    script: "scripts/show.py"
"""
MORE = """
checkpoint split:
    input: "in.csv"
    output: directory("parts")
    shell: "true"

def parts(wildcards):
    return [checkpoints.split.get().output[0]]

rule table:
    input: parts, "shared.csv"
    output: update("table.csv")
    group: "pair"
    shell: "true"
"""


class Workflow:
    """A workflow whose DAG has been made."""

    def __init__(self, workflow: Any) -> None:
        self.workflow = workflow
        self.internals = Internals(workflow)

    def job(self, rule: str, **wildcards: str) -> Any:
        (found,) = [
            job
            for job in self.workflow.dag.jobs
            if job.rule.name == rule and job.wildcards_dict == wildcards
        ]
        return found


Build = Callable[..., Workflow]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """Return a function that makes the DAG of a workflow in an empty directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("in.csv", "shared.csv", "scripts/show.py", "scripts/helper.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "rules").mkdir()
    with contextlib.ExitStack() as stack:

        def make(
            snakefile: str = SNAKEFILE,
            *,
            targets: tuple[str, ...] = (),
            config: options.ConfigSettings | None = None,
            settings: options.WorkflowSettings | None = None,
            url: str = "",
            resources: options.ResourceSettings | None = None,
        ) -> Workflow:
            (tmp_path / "Snakefile").write_text(snakefile)
            (tmp_path / "rules" / "more.smk").write_text(MORE)
            workflow = made(
                url or tmp_path / "Snakefile",
                targets,
                settings=settings,
                config=config,
                resources=resources,
            )
            return Workflow(stack.enter_context(workflow))

        yield make
