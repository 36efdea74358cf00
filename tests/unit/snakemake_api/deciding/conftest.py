"""Decides jobs of workflows whose DAG Snakemake has made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from snakemake.settings import types as options

from snakemake_executor_plugin_grid.snakemake_api.deciding.decided import Decided
from snakemake_executor_plugin_grid.snakemake_api.deciding.job import Decider
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.decided.decision import Step

from ..conftest import Build


class Deciding:
    """A workflow, and decisions about its jobs."""

    def __init__(self, made: Any, products: Collection[str]) -> None:
        self.workflow = made.workflow
        self.find = made.job
        self.decider = Decider(made.workflow, Layout(Path.cwd()).on_worker, lambda: products)

    def decided(self, rule: str, **wildcards: str) -> Decided:
        return self.decider.decide(self.find(rule, **wildcards))

    def step(self, rule: str, **wildcards: str) -> Step:
        (step,) = self.decided(rule, **wildcards).decision.steps
        return step

    def command(self, rule: str, **wildcards: str) -> str:
        (command,) = self.step(rule, **wildcards).commands
        return command.text

    def group(self) -> Decided:
        dag = self.workflow.dag
        self.workflow.async_run(dag.postprocess())
        (group,) = {dag.get_job_group(job) for job in dag.jobs} - {None}
        return self.decider.decide(group)


Make = Callable[..., Deciding]


SINGLE = """
rule one:
    input: "in.csv"
    output: "one.txt"
    {extra}
    shell: {command}
"""


def single(command: str, extra: str = "") -> str:
    return SINGLE.format(command=command, extra=extra)


@pytest.fixture
def deciding(build: Build) -> Make:
    """Return a function that makes the DAG of a workflow, to decide its jobs."""

    def make(
        snakefile: str,
        *,
        products: Collection[str] = (),
        deployment: Collection[options.DeploymentMethod] = (),
        apptainer_args: str = "",
        extended: bool = False,
        **given: Any,
    ) -> Deciding:
        # Without cores, which would be those of this host.
        given.setdefault("resources", options.ResourceSettings(nodes=4))
        made = build(snakefile, **given)
        made.workflow.deployment_settings = options.DeploymentSettings(
            deployment_method=set(deployment), apptainer_args=apptainer_args
        )
        made.workflow.output_settings = dataclasses.replace(
            made.workflow.output_settings, benchmark_extended=extended
        )
        return Deciding(made, products)

    return make
