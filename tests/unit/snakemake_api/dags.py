"""Workflows whose DAG Snakemake has made."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.settings import types as options
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

QUIET = options.OutputSettings(quiet={options.Quietness.ALL}, enable_file_logging=False)


@contextlib.contextmanager
def made(
    snakefile: Any,
    targets: Iterable[str] = (),
    *,
    settings: options.WorkflowSettings | None = None,
    config: options.ConfigSettings | None = None,
    resources: options.ResourceSettings | None = None,
) -> Iterator[Any]:
    """Make the DAG of a workflow in the current directory, as a run on the grid does.

    Args:
        snakefile: Path or URL.
        targets: What to make, else that of the first rule.
        settings: Of the command line, as are the next two.
        config: Which replaces that of the workflow.
        resources: Of this host, and defaults for rules.
    """
    with SnakemakeApi(QUIET) as api:
        workflow_api = api.workflow(
            resource_settings=resources or options.ResourceSettings(cores=1, nodes=4),
            config_settings=config,
            workflow_settings=settings or options.WorkflowSettings(),
            snakefile=snakefile,
        )
        workflow = workflow_api._workflow
        workflow._executor_plugin = ExecutorPluginRegistry().get_plugin("grid")
        workflow.execution_settings = options.ExecutionSettings()
        dag_api = workflow_api.dag(options.DAGSettings(targets=set(targets)))
        with contextlib.redirect_stdout(None):
            dag_api.printdag()
        yield workflow
