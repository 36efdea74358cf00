"""The states a grid job passes through, whatever workload management system runs it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class JobState(enum.Enum):
    """State of a job as its backend sees it.

    The backend's word is a hint only: whether a job succeeded is decided by the job's own
    report and by its outputs.
    """

    QUEUED = "queued"
    RUNNING = "running"
    HELD = "held"
    """Waits for a person: paused, exhausted, on hold."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The backend does not name this job now. It is neither failed nor done."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self in _ENDED


_ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@dataclass(frozen=True)
class JobStatus:
    """What a backend says of one job.

    Attributes:
        state: The flat state.
        detail: The backend's own words, for the person at the terminal.
        site: Where the job runs or ran, empty when not known.
        infrastructure: The site or the system rather than the payload has failed.
    """

    state: JobState
    detail: str = ""
    site: str = ""
    infrastructure: bool = False


UNKNOWN = JobStatus(JobState.UNKNOWN)
