"""Processor time of deciding a job, against that of making its command and plan.

A DAG of many jobs is made as a run does it. Then, for the jobs of one rule in turn, both sides do
their part in this process, in its one thread:

- `decide`: what runs, on the submit host, as plain data, with its identity and its JSON text
- `today`: the command that starts Snakemake on the worker, and the plan of the job with its
  fingerprint (`format_job_exec`, `Planner.plan`)

The rule has what costs time: an input, a log, wildcards, a function in its params, an absolute path
and a file that only the command names. `mean` and `p95` are milliseconds of processor time per job;
the goal is for the mean of `decide`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, quantiles
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from snakemake.settings import types as snakemake_options
from workflows import options, project, verdict

from snakemake_executor_plugin_grid.executor import Executor
from snakemake_executor_plugin_grid.planning.fingerprint import Fingerprints
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api.deciding.identity import identity
from snakemake_executor_plugin_grid.snakemake_api.deciding.job import Decider
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from snakemake_executor_plugin_grid.staging.paths import Layout
from tests.unit.planning.planners import planner_of
from tests.unit.snakemake_api.dags import made

GOAL_MS = 2.0
SNAKEFILE = """
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule fit:
    input: "in.csv", table="shared.csv"
    output: "out/{{n}}.txt"
    log: "logs/{{n}}.log"
    params: seed=lambda wildcards: 17 * int(wildcards.n), words=["x y", "z"]
    shell:
        "python tools/fit.py --table {{input.table}} --seed {{params.seed}} {{params.words:q}} "
        "--cache {{workflow.basedir}}/cache -T {{resources.tmpdir:q}} {{input[0]}} "
        "> {{output}} 2> {{log}}"
"""


class Commands(Executor):
    """The part of the executor that makes commands."""

    workflow_api: WorkflowApi

    @property
    def run(self) -> Any:
        """Return all that is needed of a run."""
        return SimpleNamespace(workflow_api=self.workflow_api)


def today(workflow: Any, workflow_api: WorkflowApi, layout: Layout) -> Callable[[Any], object]:
    """Return what makes the command and the plan of a job."""
    workflow.executor_settings = settings = ExecutorSettings(decide="never")
    workflow.remote_execution_settings = snakemake_options.RemoteExecutionSettings()
    workflow.scheduling_settings = snakemake_options.SchedulingSettings()
    workflow.group_settings = snakemake_options.GroupSettings()
    workflow.storage_settings.shared_fs_usage = frozenset()
    Commands.workflow_api = workflow_api
    commands = Commands(workflow, SimpleNamespace(info=print, warning=print, error=print))
    fingerprints = Fingerprints(workflow, layout.workdir, ())
    planner = planner_of(workflow, settings, print, fingerprints)

    def work(job: Any) -> object:
        command = partial(commands.format_job_exec, job)
        return planner.plan(job, f"name-{job.jobid}", command, {})

    return work


def decide(workflow: Any, workflow_api: WorkflowApi, layout: Layout) -> Callable[[Any], object]:
    """Return what decides a job."""
    products = set(workflow_api.products())
    decider = Decider(workflow, layout.on_worker, lambda: products)

    def work(job: Any) -> object:
        decision = decider.decide(job).decision
        return identity(decision), decision.dumps()

    return work


def spent(work: Callable[[Any], object], jobs: list[Any]) -> list[float]:
    """Return the milliseconds of processor time that each job costs."""
    times = []
    for job in jobs:
        start = time.process_time()
        work(job)
        times.append((time.process_time() - start) * 1000)
    return times


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="how many")
    arguments = parser.parse_args()
    count = 200 if arguments.quick else arguments.jobs
    with project(arguments.folder, SNAKEFILE.format(count=count)) as folder:
        for name in ("in.csv", "shared.csv", "tools/fit.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
        resources = snakemake_options.ResourceSettings(nodes=4)
        with contextlib.chdir(folder), made(folder / "Snakefile", resources=resources) as workflow:
            layout = Layout(Path.cwd())
            workflow_api = WorkflowApi(workflow, layout.on_worker)
            jobs = [job for job in workflow.dag.jobs if job.rule.name == "fit"]
            assert len(jobs) == count
            sides = {}
            for label, side in (("decide", decide), ("today", today)):
                sides[label] = spent(side(workflow, workflow_api, layout), jobs)
    print(f"Processor milliseconds per job, {count} jobs")
    print(f"{'':<10}{'mean':>8}{'p95':>8}{'goal':>8}")
    for label, times in sides.items():
        end = f"{GOAL_MS:>8.1f}  {verdict(mean(times) <= GOAL_MS)}" if label == "decide" else ""
        print(f"{label:<10}{mean(times):>8.2f}{quantiles(times, n=20)[-1]:>8.2f}{end}")
    print(f"decide over today: {mean(sides['decide']) / mean(sides['today']):.2f}")


if __name__ == "__main__":
    main()
