"""The interface of a backend: a workload management system, behind a few asynchronous calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..model.job import JobSpec
from ..model.state import JobStatus
from ..worker import report as reports
from ..worker.description import Blob

SITE_REASONS = (
    *(reports.INPUT_DAMAGED, reports.NO_ROOM, reports.NO_RUNTIME, reports.WORKER_FAILED),
    reports.OUTPUT_NOT_STORED,
)
"""Reasons in a job's report that another site may not have."""


@dataclass(frozen=True)
class Payload:
    """A job, ready to be sent.

    Attributes:
        spec: The job.
        description: Text of ``job.json``.
        blobs: What the worker stages in; a backend may carry them in its own sandboxes.
        worker: The worker program, a zip archive that any Python 3.9 or later runs.
        avoid: Sites on which it should not run if there are others.
    """

    spec: JobSpec
    description: str
    blobs: tuple[Blob, ...]
    worker: Path
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Submitted:
    """The backend has accepted the job.

    Attributes:
        grid_id: Id of the job in the system.
        avoids: Sites that the job was told to avoid, of those that its payload names.
    """

    grid_id: str
    avoids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rejected:
    """The backend has refused the job for good.

    Attributes:
        message: Why, in the system's words, and what to do.
    """

    message: str


def with_avoided(answer: Submitted | Rejected, avoids: frozenset[str]) -> Submitted | Rejected:
    """Return an answer that says which sites the job avoids."""
    return replace(answer, avoids=avoids) if isinstance(answer, Submitted) else answer


@dataclass(frozen=True)
class Capacity:
    """What the jobs of a backend can use at the same time.

    Attributes:
        processors: How many.
        memory_mb: Memory in MB.
    """

    processors: int
    memory_mb: int


class Backend(ABC):
    """A workload management system.

    All calls may raise ``TransientError`` (try again), ``CredentialsError`` (wait for the user)
    or ``PermanentError``.

    Attributes:
        name: As in ``--grid-backend``.
        poll_interval: Seconds between status calls that do not strain the system.
        submit_seconds: Seconds that submitting one more job may take.
        settle_seconds: Seconds until a job can be found whose submission was not answered.
        brings_files: Whether the system returns report and log; otherwise the store does.
        site_reasons: Reasons of reports after which a job is sent to another site.
        outlives_run: Whether jobs go on when the run has ended.
        states_per_round: Jobs, or bundles, that one call for states may name; None for no limit.
    """

    name: str
    poll_interval: float
    submit_seconds: float = 1.0
    settle_seconds: float = 0.0
    brings_files: bool = True
    site_reasons: Collection[str] = ()
    outlives_run: bool = True
    states_per_round: int | None = None

    @abstractmethod
    async def check(self) -> None:
        """Make sure that jobs can be submitted; called before the first submission."""

    async def check_credentials(self) -> str:
        """Check the proxy or token of the user.

        Returns:
            A warning if it expires soon, otherwise an empty string.

        Raises:
            CredentialsError: It is missing or has expired: says what to run.
        """
        return ""

    @abstractmethod
    async def submit(self, payloads: Sequence[Payload]) -> Sequence[Submitted | Rejected]:
        """Submit jobs, in as few calls as the system allows.

        After a lost answer, only jobs that ``adopt`` did not find are submitted again.

        Returns:
            One answer per payload, in their order.
        """

    @abstractmethod
    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Return the states of jobs; unknown ids are left out."""

    @abstractmethod
    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their unique names; unknown names are left out."""

    async def adopt(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of jobs whose submission was not answered, and make sure that they run.

        Duplicates in the system are cancelled, so that each job runs once.
        """
        return await self.find(names)

    @abstractmethod
    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs.

        Returns:
            The ids of jobs whose end is not confirmed.
        """

    def works_at(self, site: str) -> None:
        """Learn that a site runs jobs: a worker there has sent a report."""
        return

    def may_bundle(self, payload: Payload) -> bool:
        """Return whether a job may share a grid job with others that ask for the same."""
        return True

    def gathers(self, spec: JobSpec) -> bool:
        """Return whether a job waits a moment for others, as they may share a grid job."""
        return False

    @abstractmethod
    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Copy the report and the log of an ended job into a folder, if they exist.

        Outputs that lie beside the report, not in a store, go to ``folder/out``.
        """

    @abstractmethod
    async def logs(self, grid_id: str) -> str:
        """Return what the system has of the job's output, even if the job never reported."""

    @abstractmethod
    async def discard(self, ids: Collection[str]) -> None:
        """Release what the system keeps for jobs that have ended."""

    def monitor_hint(self, name: str) -> str:
        """Return how the user finds the jobs of the run with the system's own tools.

        Args:
            name: Name of any job of the run.
        """
        return ""

    async def forget(self, names: Collection[str]) -> None:
        """Release what is kept for jobs that ``find`` did not find, by their names."""
        return

    @property
    def endpoint(self) -> str:
        """The server; known after ``check``, empty if there is only one."""
        return ""

    @property
    def capacity(self) -> Capacity | None:
        """What the jobs of a run can use at the same time; None if unknown, as on a grid."""
        return None

    @property
    def log_limit(self) -> int | None:
        """Bytes of the payload's log that the system returns, None for no limit."""
        return None

    def monitor_url(self, grid_id: str) -> str:
        """Return the URL of a job on the system's web pages, empty if there is none."""
        return ""

    def blames_site(self, status: JobStatus, reason: str) -> bool:
        """Return whether a site or the system has failed a job, so that it should be sent again.

        Args:
            status: Of the system.
            reason: Of the job's own report, empty if there is none.
        """
        return reason in self.site_reasons if reason else status.infrastructure

    @abstractmethod
    def describe(self, payload: Payload) -> str:
        """Return what would be submitted for a job, as the system's own text."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; jobs go on."""
