"""The states of a grid job, the same for all backends."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class JobState(enum.Enum):
    """State of a job as its backend gives it.

    It is a hint only: the job's own report and its outputs decide whether the job succeeded.
    """

    QUEUED = "queued"
    AT_SITE = "at the site"
    """It was given to a site; whether a worker node has it is not known."""
    RUNNING = "running"
    HELD = "held"
    """Waits for a person, such as paused, exhausted or on hold."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The backend does not list the job now. It is neither failed nor done."""

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self in _ENDED


_ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The status of one job, from its backend.

    Attributes:
        state: The state.
        detail: The backend's own words, for the user.
        site: Where the job runs or ran, empty if not known.
        infrastructure: Whether the site or the system has failed, rather than the payload.
    """

    state: JobState
    detail: str = ""
    site: str = ""
    infrastructure: bool = False


UNKNOWN = JobStatus(JobState.UNKNOWN)
