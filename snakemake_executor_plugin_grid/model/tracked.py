"""A job on its way: what was decided about it, and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..worker.description import Blob
from ..worker.runtime import Runtime
from .job import JobSpec
from .state import UNKNOWN, JobStatus


@dataclass(frozen=True)
class Plan:
    """A job, and what is decided about it on this side.

    Attributes:
        spec: The job.
        runtime: How Snakemake gets to its worker.
        runtime_blob: Blob of a shipped runtime, if there is one.
        fetch_undeclared: Whether new files that no rule names come back.
        identity: Tells what the job does, and with what.
    """

    spec: JobSpec
    runtime: Runtime
    runtime_blob: Blob | None = None
    fetch_undeclared: bool = False
    identity: str = ""


@dataclass(eq=False)
class Flight:
    """A job that the controller carries through.

    Attributes:
        plan: The job and what is decided about it.
        spec: The job under the name by which it was submitted last.
        faults: How often the infrastructure has failed it.
        charged: How many of these count against its budget.
        avoid: Sites that have.
        began: When its inputs began to be stored, in seconds since the epoch.
        grid_id: Its id on the grid, None until it is submitted.
        status: What the backend said last.
        ended: Whether the backend said that it has ended.
        seen: Whether the backend has been asked for it since it was submitted.
        named: When the backend named it last, on the monotonic clock.
        adopted: Whether an earlier run has submitted it.
        origin: Name under which it was submitted first, perhaps by an earlier run.
    """

    plan: Plan
    spec: JobSpec
    faults: int = 0
    charged: int = 0
    avoid: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.time)
    grid_id: str | None = None
    status: JobStatus = UNKNOWN
    ended: bool = False
    seen: bool = False
    named: float = 0.0
    adopted: bool = False
    origin: str = ""

    def __post_init__(self) -> None:
        """Know the name that all submissions of the job begin with."""
        self.origin = self.origin or self.name

    @property
    def name(self) -> str:
        """The name by which this run knows it."""
        return self.plan.spec.name

    def submit_again(self, site: str, *, costs: bool = True) -> None:
        """Take a new name after a fault of the infrastructure, so that both can be told apart.

        Args:
            site: To be avoided, empty when not known.
            costs: Whether the fault counts against the job's budget.
        """
        self.faults += 1
        self.charged += costs
        self.began = time.time()
        self.avoid.update({site} - {""})
        self.spec = replace(self.plan.spec, name=f"{self.origin}.{self.faults}")
        self.adopted = False
        self.grid_id, self.status, self.ended, self.seen = None, UNKNOWN, False, False


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: Unique name of the job.
        success: Whether its outputs are in place.
        message: For the user, if it failed.
        logs: Files with its output, if it failed.
        grid_id: Its id on the grid, None if it never got one.
        reason: Of its report; empty if there is none.
        site: Of its report; empty if there is none, or it does not know.
    """

    name: str
    success: bool
    message: str = ""
    logs: tuple[str, ...] = ()
    grid_id: str | None = None
    reason: str = ""
    site: str = ""
