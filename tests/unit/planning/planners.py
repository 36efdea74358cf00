"""Planners of real workflows, for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_grid.grid_data.files import GridFiles
from snakemake_executor_plugin_grid.planning.deciding import Deciding
from snakemake_executor_plugin_grid.planning.fingerprint import Fingerprints
from snakemake_executor_plugin_grid.planning.path_check import PathCheck
from snakemake_executor_plugin_grid.planning.planner import Planner
from snakemake_executor_plugin_grid.planning.sources import filters_of
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.snakemake_api.deciding.job import Decider
from snakemake_executor_plugin_grid.snakemake_api.workflow import WorkflowApi
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.description import Blob
from snakemake_executor_plugin_grid.worker.runtime import Runtime


def ships_nothing(runtime: Runtime, *, snakemake: bool) -> Blob:
    raise NotImplementedError(runtime.kind)


def deciding_of(
    workflow: Any,
    settings: ExecutorSettings,
    say: Callable[[str], None] = lambda _: None,
    *,
    early: bool = False,
) -> Deciding:
    """Return what decides jobs in the current directory."""
    workflow_api, layout = WorkflowApi(workflow), Layout(Path.cwd())
    decider = Decider(workflow, layout.on_worker, workflow_api.product_names)
    return Deciding(decider, settings.decide, filters_of(settings), say, early=early)


def planner_of(
    workflow: Any,
    settings: ExecutorSettings,
    say: Callable[[str], None] = lambda _: None,
    fingerprints: Fingerprints | None = None,
) -> Planner:
    """Return a planner of a workflow in the current directory."""
    workflow_api, layout = WorkflowApi(workflow), Layout(Path.cwd())
    planner = Planner(
        settings,
        workflow_api,
        layout,
        PathCheck(layout, workflow_api),
        deciding_of(workflow, settings, say),
        ships_nothing,
        say,
        GridFiles(layout),
        fingerprints,
    )
    planner.begin()
    return planner
