"""DIRAC's job states in our terms (DIRAC 9.1.22: ``JobStatus`` and its state machine)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ...model.state import JobState, JobStatus
from .reasons import Reason, explain, own_words

STATES = {
    "Submitting": JobState.QUEUED,  # created in bulk, not confirmed
    "Received": JobState.QUEUED,
    "Checking": JobState.QUEUED,
    "Scouting": JobState.QUEUED,
    "Staging": JobState.QUEUED,
    "Waiting": JobState.QUEUED,
    "Matched": JobState.QUEUED,  # a pilot has it, the payload does not run
    "Rescheduled": JobState.QUEUED,  # on its way back to Received
    "Running": JobState.RUNNING,
    "Stalled": JobState.RUNNING,  # goes back to Running, or on to Failed
    "Completing": JobState.RUNNING,  # the payload has ended, uploads go on
    "Completed": JobState.DONE,  # goes on to Done or Failed: see Settling
    "Done": JobState.DONE,
    "Failed": JobState.FAILED,
    "Killed": JobState.CANCELLED,  # may go back to Running: see Settling
    "Deleted": JobState.CANCELLED,
}

GRACE = {
    # The wrapper's next heartbeat sets it to Running again, and then to Failed. Heartbeats may be
    # as rare as every 30 minutes: that is not waited for, as the job will not come back.
    "Killed": 60.0,
    # Outputs may be on their way through a failover storage element. A request that has nothing
    # to do with them (accounting) keeps the job here as well, so it is not waited for without end.
    "Completed": 300.0,
}
"""Seconds that a job has to stay in a state until that counts as its end."""

_STALLED = "no sign of life from the worker node for a while; DIRAC waits for it to come back"
_DELETED = "somebody deleted the job on the server, with its sandboxes"
_KILLED_MINOR = "received kill signal"
_PUT_BACK_APPLICATION = "after rescheduling"  # the scheduler holds such jobs for a minute or more
_PUT_BACK = "the site could not bring the job to its end, and DIRAC has put it back into the queue"
_NOWHERE = frozenset({"any", "multiple", "unknown", "none", "unset"})


def job_status(status: object, minor: object, application: object, site: object = "") -> JobStatus:
    """Return what three statuses of DIRAC say of a job.

    Args:
        status: Status. One that this version does not know makes the job unknown, by that name.
        minor: MinorStatus; like the others, None and what is no text count as empty.
        application: ApplicationStatus.
        site: Site, where ``ANY`` and ``Multiple`` stand for none yet.
    """
    name, minor, application, site = _text(status), _text(minor), _text(application), _text(site)
    if site.casefold() in _NOWHERE or site.startswith("Group."):
        site = ""
    state = STATES.get(name)
    if state is None:
        return JobStatus(JobState.UNKNOWN, name, site)
    if state is JobState.QUEUED and _PUT_BACK_APPLICATION in application.casefold():
        # DIRAC would start it up to three times more, whatever it has done already: an output that
        # the storage element does not take is enough. This side does so elsewhere, and counts.
        return JobStatus(JobState.FAILED, _PUT_BACK, site, infrastructure=True)
    if state is JobState.FAILED and _KILLED_MINOR in minor.casefold():
        state = JobState.CANCELLED
    reason = explain(minor, application)
    return JobStatus(
        state,
        _detail(name, state, reason, own_words(minor, application)),
        site,
        state is JobState.FAILED and reason is not None and reason.infrastructure,
    )


def given_up_as(history: Iterable[Sequence[str]]) -> str:
    """Return why the server gave up a job of which it heard nothing; nothing if it did not.

    When such a job is heard of again, its wrapper is told to kill it, and reports that as anybody's
    kill: "Received Kill signal" (``StalledJobAgent`` and ``JobWrapper`` of DIRAC 9.1.22).

    Args:
        history: Status, minor status, application status, time and source of each change.
    """
    return next(
        (row[1] for row in history if row[0] == "Failed" and row[4] == "StalledJobAgent"), ""
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _detail(name: str, state: JobState, reason: Reason | None, words: str) -> str:
    if name == "Stalled":
        return _STALLED
    if name == "Deleted":
        return _DELETED
    if state in (JobState.FAILED, JobState.CANCELLED):
        if reason is None:
            return words or f"DIRAC gives no reason for {name}"
        return f"{reason.text} (DIRAC: {words})"
    if state is JobState.QUEUED and reason is not None and reason.infrastructure:
        return words  # a job that goes on has not failed
    if state is JobState.RUNNING:
        return words  # the steps of the wrapper are named after what they do
    return words if reason is None else reason.text


@dataclass
class _Seen:
    status: str
    since: float


class Settling:
    """Takes states that are not final for ended only when they last.

    A running job that is killed goes Killed, Running, Failed (seen with DIRAC 9.1.22).
    """

    def __init__(
        self, grace: dict[str, float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with no job.

        Args:
            grace: Seconds by state; that of DIRAC's by default.
            clock: Returns seconds that never go back.
        """
        self._grace = GRACE if grace is None else grace
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def settle(self, grid_id: str, name: object, status: JobStatus) -> JobStatus:
        """Return the status as it counts.

        Args:
            grid_id: The job.
            name: DIRAC's status.
            status: What ``job_status`` makes of it.
        """
        if not isinstance(name, str) or name not in self._grace:
            self._seen.pop(grid_id, None)
            return status
        now = self._clock()
        seen = self._seen.get(grid_id)
        if seen is None or seen.status != name:
            seen = self._seen[grid_id] = _Seen(name, now)
        if now - seen.since >= self._grace[name]:
            return status
        return replace(status, state=JobState.RUNNING, infrastructure=False)

    def forget(self, ids: Collection[str]) -> None:
        """Drop what is known of jobs that are not asked for any more."""
        for grid_id in ids:
            self._seen.pop(grid_id, None)
