"""Maps DIRAC's job states to those of this package (``JobStatus`` of DIRAC 9.1.22)."""

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
    "Completed": JobState.DONE,  # goes on to Done or Failed: see Debouncer
    "Done": JobState.DONE,
    "Failed": JobState.FAILED,
    "Killed": JobState.CANCELLED,  # may go back to Running: see Debouncer
    "Deleted": JobState.CANCELLED,
}

GRACE = {
    # The wrapper's next heartbeat sets it to Running again, and then to Failed. Heartbeats may be
    # as rare as every 30 minutes: there is no wait for one, as the job does not recover.
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
    """Return the state of a job by the three statuses of DIRAC.

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
        # DIRAC would start it up to three times more, even if only the storage of an output has
        # failed. Instead, the run sends it to another site and counts the attempts.
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
    """Return why the server gave up a job that sent no heartbeat; nothing if it did not.

    When such a job sends a heartbeat again, its wrapper is told to kill it, and reports this like
    any other kill: "Received Kill signal" (``StalledJobAgent`` and ``JobWrapper`` of DIRAC 9.1.22).

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
        return words  # the job still runs
    if state is JobState.RUNNING:
        return words  # the steps of the wrapper are named after what they do
    return words if reason is None else reason.text


@dataclass
class _Seen:
    status: str
    since: float


class Debouncer:
    """Reports ends that DIRAC may revoke only when they last.

    A running job that is killed goes Killed, Running, Failed (seen with DIRAC 9.1.22).
    """

    def __init__(
        self, grace: dict[str, float] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Follow no job yet.

        Args:
            grace: Seconds by state; that of DIRAC's by default.
            clock: Returns seconds that never go back.
        """
        self._grace = GRACE if grace is None else grace
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def settle(self, grid_id: str, name: object, status: JobStatus) -> JobStatus:
        """Return the status to report.

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
        """Forget jobs that have been discarded."""
        for grid_id in ids:
            self._seen.pop(grid_id, None)
