"""Made-up jobs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from snakemake_executor_plugin_grid.model.tracked import Plan, TrackedJob
from snakemake_executor_plugin_grid.worker.runtime import Runtime


def spec(
    name: str, inputs: Iterable[str] = (), shared: Iterable[str] = (), **fields: Any
) -> JobSpec:
    values: dict[str, Any] = {
        "rule": "sort",
        "wildcards": (("sample", "a"),),
        "jobid": "3",
        "attempt": 1,
        "command": '"$GRID_PYTHON" -m snakemake',
        "outputs": (),
        "consumed": frozenset(),
        "placeholders": (),
        "resources": Resources(),
        "environment": {},
        "overrides": {},
    }
    return JobSpec(name=name, inputs=tuple(inputs), shared=frozenset(shared), **(values | fields))


def tracked(
    job: JobSpec, identity: str = "same", origin: str = "", began: float = 1.0
) -> TrackedJob:
    """Return a job as it is when the run submits it."""
    plan = Plan(job, Runtime("inherit"), identity=identity)
    return TrackedJob(plan, job, began=began, origin=origin)
