"""When each job did what, by the clock of the submit host."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..journal.records import JobRecord
from .measured import Measured, measured


class Kind(Enum):
    """A step of a job, on the worker or on the submit host."""

    UPLOADING = "uploading inputs"
    SUBMITTING = "submitting"
    WAITING = "waiting in the queue"
    FETCHING = "staging in"
    RUNNING = "running"
    DELIVERING = "staging out"
    UNNOTICED = "ended, not yet seen"
    RETRIEVING = "fetching results"

    @property
    def on_worker(self) -> bool:
        """Whether the job occupies a worker during the step."""
        return self in _ON_WORKER


_ON_WORKER = frozenset({Kind.FETCHING, Kind.RUNNING, Kind.DELIVERING})
_OF_STEP = {
    "received": Kind.FETCHING,
    "staging in": Kind.FETCHING,
    "running": Kind.RUNNING,
    "staging out": Kind.DELIVERING,
    "ended": Kind.UNNOTICED,
}


@dataclass(frozen=True)
class Segment:
    """A step of a job, in seconds since the epoch; never empty."""

    kind: Kind
    begin: float
    end: float


@dataclass(frozen=True)
class Span:
    """One submission of a job.

    Attributes:
        job: Its row in the journal.
        measured: What its worker measured.
        segments: Its steps, the earliest first, without gaps.
    """

    job: JobRecord
    measured: Measured
    segments: tuple[Segment, ...]

    @property
    def begin(self) -> float | None:
        """When it began, None if that is not known."""
        return self.segments[0].begin if self.segments else None

    @property
    def end(self) -> float | None:
        """When it ended, or the last time that is known of it."""
        return self.segments[-1].end if self.segments else None

    @property
    def site(self) -> str:
        """Site in its report, or else that of the backend; empty if not known."""
        return self.measured.site or self.job.site

    def seconds(self, *kinds: Kind) -> float:
        """Return how long these steps lasted."""
        return sum(part.end - part.begin for part in self.segments if part.kind in kinds)


@dataclass(frozen=True)
class Clock:
    """A worker node whose clock differs from that of the submit host.

    Attributes:
        site: Its site.
        host: Its name.
        ahead: Seconds by which its clock is ahead at least; negative if it is behind.
        submissions: Number of submissions that show the difference.
    """

    site: str
    host: str
    ahead: float
    submissions: int


@dataclass(frozen=True)
class Timeline:
    """All jobs.

    Attributes:
        rows: The submissions of each job, the earliest first, retries and later runs included;
            jobs in the order of their beginning.
        clocks: Clocks that are wrong by more than `CLOCK_TOLERANCE`.
    """

    rows: tuple[tuple[Span, ...], ...]
    clocks: tuple[Clock, ...]

    @property
    def spans(self) -> list[Span]:
        """All submissions."""
        return [span for row in self.rows for span in row]


def site_of(span: Span) -> str:
    """Return the site of a submission, or "not known"."""
    return span.site or "not known"


CLOCK_TOLERANCE = 60.0
"""Seconds by which the clock of a worker node may be wrong before the report says so."""


def timeline(jobs: Sequence[JobRecord], now: float) -> Timeline:
    """Convert the times of all jobs to the clock of the submit host.

    Args:
        jobs: All submissions, in their order.
        now: End of the jobs that are open.
    """
    reports = {job.name: measured(job.report) for job in jobs}
    shifts, clocks = _shifts(jobs, reports, now)
    rows: dict[object, list[Span]] = {}
    for job in jobs:
        row = rows.setdefault(job.work, [])
        floor = max((span.end for span in row if span.end is not None), default=-math.inf)
        report = reports[job.name]
        parts = _segments(job, report.times, shifts.get(job.name, 0.0), now, floor)
        row.append(Span(job, report, parts))
    ordered = sorted(rows.values(), key=lambda row: min(map(_begin, row)))
    return Timeline(tuple(map(tuple, ordered)), clocks)


def _begin(span: Span) -> float:
    return math.inf if span.begin is None else span.begin


def _segments(
    job: JobRecord,
    times: Mapping[str, float],
    shift: float,
    now: float,
    floor: float,
) -> tuple[Segment, ...]:
    """Return the steps of a submission.

    Args:
        job: The submission.
        times: Beginnings of the steps on the worker, in their order.
        shift: Seconds to add to these times.
        now: Its end, if it is open.
        floor: End of the previous submission of the same job.
    """
    low, high = _window(job, now)
    worker = [(_OF_STEP[step], min(max(time + shift, low), high)) for step, time in times.items()]
    accepted = job.accepted
    if worker and accepted is not None:  # the answer may have been late, or lost
        accepted = min(accepted, worker[0][1])
    points = [(Kind.UPLOADING, job.began), (Kind.SUBMITTING, job.sent), (Kind.WAITING, accepted)]
    points += worker or [(Kind.RUNNING, job.running)]
    points.append((Kind.RETRIEVING, job.ended))
    known = [(kind, time) for kind, time in points if time is not None]
    if not known:
        return ()
    last = now if not job.phase.over else known[-1][1]
    ends = [time for _, time in known[1:]] + [job.finished if job.finished is not None else last]
    parts: list[Segment] = []
    latest = max(floor, known[0][1])
    for (kind, _), time in zip(known, ends, strict=True):
        end = max(latest, time)
        if end > latest:
            if parts and parts[-1].kind is kind:
                parts[-1] = Segment(kind, parts[-1].begin, end)
            else:
                parts.append(Segment(kind, latest, end))
        latest = end
    return tuple(parts)


def _window(job: JobRecord, now: float) -> tuple[float, float]:
    """Return when a job came to the grid and left it, by the submit host's clock."""
    low = next((time for time in (job.sent, job.began) if time is not None), -math.inf)
    high = next((time for time in (job.ended, job.finished) if time is not None), now)
    return low, max(low, high)


def _shifts(
    jobs: Iterable[JobRecord], reports: Mapping[str, Measured], now: float
) -> tuple[dict[str, float], tuple[Clock, ...]]:
    """Return the smallest correction that makes the times of each job's worker possible.

    A worker cannot have a job before it was submitted, nor after the submit host saw its end. The
    correction that one job needs is used for all jobs of the node, unless they contradict it.
    """
    hosts: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    for job in jobs:
        report = reports[job.name]
        if report.times:
            times = list(report.times.values())
            low, high = _window(job, now)
            key = (report.site or job.site, report.host or job.name)
            hosts.setdefault(key, []).append((job.name, low - times[0], high - times[-1]))
    shifts: dict[str, float] = {}
    clocks = []
    for (site, host), bounds in sorted(hosts.items()):
        lowest, highest = max(b[1] for b in bounds), min(b[2] for b in bounds)
        for name, low, high in bounds:
            some = (lowest, highest) if lowest <= highest else (low, max(low, high))
            shifts[name] = min(max(0.0, some[0]), some[1])
        off = [shifts[name] for name, _, _ in bounds if abs(shifts[name]) > CLOCK_TOLERANCE]
        if off:
            clocks.append(Clock(site, host, -max(off, key=abs), len(off)))
    return shifts, tuple(clocks)


@dataclass(frozen=True)
class Concurrency:
    """Numbers of jobs over time.

    Attributes:
        times: Seconds since the epoch.
        running: Number of jobs on a worker from each of these times on.
        waiting: Number of jobs in a queue.
    """

    times: tuple[float, ...]
    running: tuple[int, ...]
    waiting: tuple[int, ...]


def concurrency(spans: Iterable[Span], points: int = 2000) -> Concurrency:
    """Count jobs over time.

    Args:
        spans: All submissions.
        points: Number of times, at most; of times close to each other, the last is used.
    """
    changes: dict[float, list[int]] = {}
    for span in spans:
        for part in span.segments:
            column = 0 if part.kind.on_worker else 1 if part.kind is Kind.WAITING else None
            if column is not None:
                changes.setdefault(part.begin, [0, 0])[column] += 1
                changes.setdefault(part.end, [0, 0])[column] -= 1
    times = sorted(changes)
    step = (times[-1] - times[0]) / points if times else 0.0
    chosen: list[tuple[float, int, int]] = []
    running = waiting = 0
    for time in times:
        running += changes[time][0]
        waiting += changes[time][1]
        if chosen and len(times) > points and time - chosen[-1][0] < step:
            chosen[-1] = (chosen[-1][0], running, waiting)
        else:
            chosen.append((time, running, waiting))
    return Concurrency(
        tuple(time for time, _, _ in chosen),
        tuple(some for _, some, _ in chosen),
        tuple(some for _, _, some in chosen),
    )
