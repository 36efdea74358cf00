"""Keeps an error in Snakemake's work after a job from ending the whole run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

Postprocess = Callable[..., Awaitable[None]]


def fail_single_jobs() -> None:
    """Let an error in ``Job.postprocess`` fail that job only, for the rest of the process.

    There, Snakemake 9.27 waits for the outputs and records metadata. Its scheduler turns errors of
    its own kinds into a failure of the job. Any other error, such as the ``OSError`` for a missing
    output, ends the run although other jobs are on the grid.
    """
    from snakemake.jobs import GroupJob, Job

    for kind in (Job, GroupJob):
        if not hasattr(kind.postprocess, "__wrapped__"):
            kind.postprocess = _contained(kind.postprocess)


def _contained(postprocess: Postprocess) -> Postprocess:
    @wraps(postprocess)
    async def contained(job: Any, *args: Any, error: bool = False, **options: Any) -> None:
        from snakemake.exceptions import RuleException
        from snakemake.logging import logger

        try:
            await postprocess(job, *args, error=error, **options)
        except Exception as problem:
            if error:  # the job has failed already
                logger.error(f"grid: {job.name}: cleaning up after its failure: {problem}")
            elif isinstance(problem, WorkflowError | RuleException):
                raise
            else:
                raise WorkflowError(f"rule {job.name}: {problem}") from problem

    return contained
