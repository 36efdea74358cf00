"""What a backend is: a workload management system, behind a few asynchronous calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.job import JobSpec
from ..model.state import JobStatus
from ..worker import report as reports
from ..worker.description import Blob

SITE_REASONS = (
    *(reports.INPUT_DAMAGED, reports.NO_RUNTIME, reports.WORKER_FAILED),
    reports.OUTPUT_NOT_STORED,
)
"""Reasons in a job's report that another site may not have."""


@dataclass(frozen=True)
class Payload:
    """A job, ready to be sent.

    Attributes:
        spec: The job.
        description: Text of ``job.json``.
        blobs: What the worker stages in: a backend may bring them to the worker its own way.
        worker: The worker program, a zip archive that any Python 3.9 or later runs.
        avoid: Sites on which it should not run, if there are others.
    """

    spec: JobSpec
    description: str
    blobs: tuple[Blob, ...]
    worker: Path
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Submitted:
    """The backend has taken the job.

    Attributes:
        grid_id: Its id there.
    """

    grid_id: str


@dataclass(frozen=True)
class Rejected:
    """The backend has refused the job for good.

    Attributes:
        message: Why, in its words, and what to do.
    """

    message: str


class Backend(ABC):
    """A workload management system.

    All calls may raise ``TransientError`` (try again), ``CredentialsError`` (wait for the user)
    or ``PermanentError``.

    Attributes:
        name: As in ``--grid-backend``.
        poll_interval: Seconds between status calls that the system takes lightly.
        submit_seconds: Seconds that submitting one more job may take.
        settle_seconds: For how long a job may not be found yet whose submission was not answered.
        brings_files: Whether the system brings report and log back; else they go through the store.
        site_reasons: Reasons of reports after which a job is sent to another site.
    """

    name: str
    poll_interval: float
    submit_seconds: float = 1.0
    settle_seconds: float = 0.0
    brings_files: bool = True
    site_reasons: Collection[str] = ()

    @abstractmethod
    async def check(self) -> None:
        """Make sure that jobs can be submitted, before the first is."""

    async def check_credentials(self) -> str:
        """Look at what authenticates the user.

        Returns:
            A warning when it expires soon, else nothing.

        Raises:
            CredentialsError: It is missing or has expired: says what to run.
        """
        return ""

    @abstractmethod
    async def submit(self, payloads: Sequence[Payload]) -> Sequence[Submitted | Rejected]:
        """Submit jobs, in as few calls as the system allows.

        After an answer that was lost, only jobs come again that ``adopt`` has not found.

        Returns:
            One answer per payload, in their order.
        """

    @abstractmethod
    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        """Return the states of jobs; ids that the system does not know are left out."""

    @abstractmethod
    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their unique names; those it does not have are left out."""

    async def adopt(self, names: Collection[str]) -> Mapping[str, str]:
        """Return the ids of jobs whose submission was not answered, and see to it that they run.

        Each runs once, even if the system has it twice.
        """
        return await self.find(names)

    @abstractmethod
    async def cancel(self, ids: Collection[str]) -> set[str]:
        """Cancel jobs.

        Returns:
            The ids whose end is not confirmed.
        """

    @abstractmethod
    async def retrieve(self, grid_id: str, folder: Path) -> None:
        """Put the report and the log of an ended job into a folder, as far as they exist.

        What the job left beside its report, rather than in a store, goes to ``folder/out``.
        """

    @abstractmethod
    async def logs(self, grid_id: str) -> str:
        """Return what the system has of the job's output, also of one that never reported."""

    @abstractmethod
    async def discard(self, ids: Collection[str]) -> None:
        """Tell the system that nothing more is wanted of these ended jobs."""

    def monitor_hint(self, name: str) -> str:
        """Return how the user can look at the jobs of the run by the system's own means.

        Args:
            name: Of any of its jobs.
        """
        return ""

    async def forget(self, names: Collection[str]) -> None:
        """Hear that nothing is wanted of jobs, by their names, that ``find`` did not find."""
        return

    @property
    def endpoint(self) -> str:
        """Which server this is; known after ``check``, empty if that makes no difference."""
        return ""

    @property
    def log_limit(self) -> int | None:
        """Bytes of the payload's log that the system brings back, None for no limit."""
        return None

    def monitor_url(self, grid_id: str) -> str:
        """Return the URL under which the system's web pages show a job, if there is one."""
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
        """End all connections. Jobs go on."""
