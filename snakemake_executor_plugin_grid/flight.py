"""A job on its way: what was decided about it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from .jobspec import JobSpec
from .states import UNKNOWN, JobStatus
from .worker.description import Blob
from .worker.runtime import Runtime


@dataclass(frozen=True)
class Plan:
    """A job, and what is decided about it on this side.

    Attributes:
        spec: The job.
        runtime: How Snakemake gets to its worker.
        runtime_blob: Blob of a shipped runtime, if there is one.
        fetch_undeclared: Whether new files that no rule names come back.
    """

    spec: JobSpec
    runtime: Runtime
    runtime_blob: Blob | None = None
    fetch_undeclared: bool = False


@dataclass(eq=False)
class Flight:
    """A job that the controller carries through.

    Attributes:
        plan: The job and what is decided about it.
        grid_id: Its id on the grid, None until it is submitted.
        status: What the backend said last.
        ended: Whether the backend said that it has ended.
        named: When the backend named it last, on the monotonic clock.
    """

    plan: Plan
    grid_id: str | None = None
    status: JobStatus = UNKNOWN
    ended: bool = False
    named: float = 0.0

    @property
    def spec(self) -> JobSpec:
        """The job."""
        return self.plan.spec

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.plan.spec.name


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: Unique name of the job.
        success: Whether its outputs are in place.
        message: For the user, if it failed.
        logs: Files with its output, if it failed.
        grid_id: Its id on the grid, None if it never got one.
    """

    name: str
    success: bool
    message: str = ""
    logs: tuple[str, ...] = ()
    grid_id: str | None = None
