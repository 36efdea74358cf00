"""The benchmark file of a job (``snakemake.benchmark``, 9.27)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...worker.decided.decision import Benchmark
from .decided import Unsupported
from .resources import has_undecided


def benchmark_of(
    job: Any, params: Any, resources: Any, on_worker: Callable[[str], str]
) -> Benchmark | None:
    """Return the benchmark of a job, None if it has none.

    Args:
        job: ``snakemake.jobs.Job``.
        params: Its params.
        resources: Its resources with marks.
        on_worker: Returns a path as the worker finds it.

    Raises:
        Unsupported: A value for ``--benchmark-extended`` is not known, or is no plain value.
    """
    if job.benchmark is None:
        return None
    path = on_worker(str(job.benchmark))
    if not job.rule.workflow.output_settings.benchmark_extended:
        return Benchmark(path)
    columns = {
        "jobid": job.jobid,
        "rule_name": job.rule.name,
        "wildcards": dict(job.wildcards.items()),
        "params": dict(params.items()),
        "threads": job.threads,
        "resources": dict(resources.items()),
        "input_size_mb": {str(path): _size(path) for path in job.input},
    }
    if has_undecided(columns):
        raise Unsupported("its benchmark lists params or resources that are not known yet")
    return Benchmark(path, extended=True, columns=_plain(columns))


def _size(path: str) -> float:
    try:
        return Path(path).stat().st_size / 1024 / 1024
    except OSError as error:
        name = os.fspath(path)
        raise Unsupported(f"its benchmark lists the size of {name}, not made yet") from error


def _plain(columns: Mapping[str, Any]) -> Any:
    """Return values as JSON gives them back; Snakemake writes some of them as Python shows them."""
    try:
        back = json.loads(json.dumps(columns))
    except (TypeError, ValueError):
        back = None
    if repr(back) != repr(columns):
        raise Unsupported("its benchmark lists params that are not plain texts and numbers")
    return back
