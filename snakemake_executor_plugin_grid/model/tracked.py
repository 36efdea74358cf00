"""A job that the run follows: the plan for it, its state, its outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ..worker.description import Blob
from ..worker.runtime import Runtime
from .job import JobSpec
from .names import JobName
from .state import UNKNOWN, JobStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """A job, and the decisions that the submit host made about it.

    Attributes:
        spec: The job.
        runtime: How the worker gets Snakemake.
        runtime_blob: Blob of a shipped runtime, if there is one.
        fetch_undeclared: Whether new files that no rule names come back.
        identity: Fingerprint of the job: the same if it does the same with the same files.
        output_limit: Bytes that its outputs may take, None for no limit.
    """

    spec: JobSpec
    runtime: Runtime
    runtime_blob: Blob | None = None
    fetch_undeclared: bool = False
    identity: str = ""
    output_limit: int | None = None


@dataclass(eq=False, slots=True)
class TrackedJob:
    """A job that the controller follows.

    Attributes:
        plan: The plan for the job.
        spec: The job, with the name of its last submission.
        name: The name by which this run refers to the job; resubmissions do not change it.
        faults: How often it has failed because of the infrastructure.
        charged: How many of these faults count against its limit.
        avoid: Sites where such faults happened.
        anywhere: Whether its next submission avoids no site, as it has waited for too long.
        avoids: Sites that its last submission avoids.
        accepted: When the grid accepted it, on the monotonic clock; 0 if that was an earlier run.
        waits_since: Since when it waits in a queue, on the monotonic clock.
        began: When the upload of its inputs began, in seconds since the epoch.
        grid_id: Its id on the grid, None until it is submitted.
        status: The last status that the backend gave.
        ended: Whether the backend said that it has ended.
        seen: Whether the backend has been asked about it since it was submitted.
        named: When the backend listed it last, on the monotonic clock.
        missed: How many answers in a row did not list it.
        adopted: Whether an earlier run submitted it.
        origin: Name of its first submission, perhaps by an earlier run.
    """

    plan: Plan
    spec: JobSpec
    name: str = field(init=False)
    faults: int = 0
    charged: int = 0
    avoid: frozenset[str] = frozenset()
    anywhere: bool = False
    avoids: frozenset[str] = frozenset()
    accepted: float = 0.0
    waits_since: float = 0.0
    began: float = field(default_factory=time.time)
    grid_id: str | None = None
    status: JobStatus = UNKNOWN
    ended: bool = False
    seen: bool = False
    named: float = 0.0
    missed: int = 0
    adopted: bool = False
    origin: str = ""

    def __post_init__(self) -> None:
        """Set its name, and the origin of a job that was not submitted before."""
        self.name = self.plan.spec.name
        self.origin = self.origin or self.name

    def submit_again(self, site: str = "", *, costs: bool = True, anywhere: bool = False) -> None:
        """Prepare another submission, under a new name, after a fault of the infrastructure.

        Args:
            site: Site to avoid, empty if not known.
            costs: Whether the fault counts against the job's limit.
            anywhere: Whether this submission avoids no site.
        """
        self.faults += 1
        self.charged += costs
        self.began = time.time()
        self.avoid |= {site} - {""}
        self.anywhere, self.avoids = anywhere, frozenset()
        self.spec = replace(self.plan.spec, name=str(JobName(self.origin, self.faults)))
        self.adopted = False
        self.grid_id, self.status, self.ended, self.seen = None, UNKNOWN, False, False
        self.missed = 0


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        name: Unique name of the job.
        success: Whether its outputs are in place.
        message: Message for the user, if it failed.
        cause: Why it failed, in a few words.
        logs: Files with its output, if it failed.
        grid_id: Its id on the grid, None if it never got one.
        reason: Reason in its report, empty if there is no report.
        site: Site in its report, empty if there is no report or the site is not known.
    """

    name: str
    success: bool
    message: str = ""
    cause: str = ""
    logs: tuple[str, ...] = ()
    grid_id: str | None = None
    reason: str = ""
    site: str = ""
