"""The state of a workflow: its run, its jobs, and what each job waits for."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..console.format import duration, plural
from ..journal.lock import is_locked
from ..journal.reader import Latest
from ..journal.records import JobRecord, Phase, RunRecord
from ..model.job import log_file
from ..model.state import UNKNOWN, JobStatus
from ..snakemake_api.locks import lock_files
from .selection import DisplayState, display_state, since

_ENDS = {
    "finished": "finished",
    "failed": "ended because jobs had failed",
    "stopped": "was stopped and waited for its jobs",
    "cancelled": "was stopped and cancelled its jobs",
    "left": "left its jobs on the grid",
}
_ATTENTION = (
    *(DisplayState.HELD, DisplayState.UNKNOWN, DisplayState.CANCELLING, DisplayState.WAITING),
    *(
        DisplayState.OUTPUTS_INSTALLED,
        DisplayState.ENDED,
        DisplayState.RUNNING,
        DisplayState.AT_SITE,
        DisplayState.QUEUED,
    ),
)


@dataclass(frozen=True)
class Overview:
    """The state of a workflow at a point in time.

    Attributes:
        folder: Folder of this package, below the working directory.
        now: That time, in seconds since the epoch.
        going_on: Whether a run, or a command that changes the journal, is going on; None if
            unknown.
        runs: All runs, the oldest first.
        jobs: The last submission of each job, the oldest first; if there are `others`, of those
            that are open or failed.
        locks: Number of files of Snakemake's own lock.
        servers: By backend, why its server was not asked; an empty text if it was.
        others: How many other jobs there are, by rule, site and phase.
        pruned: Number of submissions of old runs whose rows were removed.
    """

    folder: Path
    now: float
    going_on: bool | None
    runs: Sequence[RunRecord]
    jobs: Sequence[JobRecord]
    locks: int
    servers: dict[str, str] = field(default_factory=dict)
    others: Mapping[tuple[str, str, Phase], int] = field(default_factory=dict)
    pruned: int = 0

    @property
    def last_run(self) -> RunRecord | None:
        """The run that began last, None if there is none in the journal."""
        return self.runs[-1] if self.runs else None

    @property
    def open(self) -> list[JobRecord]:
        """The open jobs; those that need attention come first."""
        found = [job for job in self.jobs if not job.phase.over]
        return sorted(found, key=lambda job: _ATTENTION.index(display_state(job)))

    @property
    def failures(self) -> list[JobRecord]:
        """The jobs whose last submission failed, the latest failure first."""
        failed = [job for job in self.jobs if job.phase is Phase.FAILED]
        return sorted(failed, key=lambda job: job.finished or 0.0, reverse=True)

    @property
    def stale(self) -> bool | None:
        """Whether Snakemake's own lock exists though no run is going on; None if unknown."""
        if not self.locks:
            return False
        return None if self.going_on is None else not self.going_on

    def log(self, job: JobRecord) -> Path | None:
        """Return the file with a job's output, if it is on this host."""
        path = log_file(self.folder, job.name)
        return path if path.is_file() else None


def overview(folder: Path, runs: Sequence[RunRecord], jobs: Latest, now: float) -> Overview:
    """Return the state of a workflow, with the locks that exist now."""
    locks = len(lock_files(folder.parent.parent))
    return Overview(folder, now, is_locked(folder), runs, jobs.jobs, locks, others=jobs.others)


def is_asked(job: JobRecord) -> bool:
    """Return whether the server can be asked for the state of a job."""
    return bool(job.grid_id) and job.phase in (Phase.SUBMITTED, Phase.CANCELLING)


def with_statuses(seen: Overview, backend: str, statuses: Mapping[str, JobStatus]) -> Overview:
    """Return the overview with the states that a server gave for the jobs it was asked about."""

    def updated(job: JobRecord) -> JobRecord:
        if job.backend != backend or not is_asked(job):
            return job
        status = statuses.get(job.grid_id or "", UNKNOWN)
        detail = status.detail or job.detail
        return replace(job, state=status.state.value, site=status.site or job.site, detail=detail)

    return replace(seen, jobs=[updated(job) for job in seen.jobs])


def counts(seen: Overview, by: Callable[[str, str], str]) -> dict[str, Counter[DisplayState]]:
    """Return how many jobs are in each state, by a key of rule and site; sorted by the key."""
    found: dict[str, Counter[DisplayState]] = {}
    for job in seen.jobs:
        found.setdefault(by(job.rule, job.site), Counter())[display_state(job)] += 1
    for (rule, site, phase), count in seen.others.items():
        found.setdefault(by(rule, site), Counter())[DisplayState(phase.value)] += count
    return dict(sorted(found.items()))


def oldest(seen: Overview, which: DisplayState) -> float | None:
    """Return the longest time, in seconds, that a job has been in a state."""
    times = [begun for job in seen.jobs if display_state(job) is which and (begun := since(job))]
    return seen.now - min(times) if times else None


def waits_for(seen: Overview, job: JobRecord) -> str:
    """Return what an open job waits for."""
    begun = since(job)
    for_long = f" for {duration(seen.now - begun)}" if begun else ""
    match display_state(job):
        case DisplayState.QUEUED:
            return f"queued{for_long}"
        case DisplayState.AT_SITE:
            return "at the site: runs, or waits for a pilot"
        case DisplayState.RUNNING:
            return f"running{for_long}"
        case DisplayState.HELD:
            why = f" ({job.detail})" if job.detail else ""
            return f"held: needs attention{why}"
        case DisplayState.UNKNOWN:
            return f"unknown: {job.backend} does not list it now"
    ago = f" {duration(seen.now - begun)} ago" if begun else ""
    ended = f"ended as {job.state}{ago}"
    here, later = {
        DisplayState.WAITING: (
            "being submitted",
            "the submission was not answered: the next run looks for the job",
        ),
        DisplayState.ENDED: (
            f"{ended}; its results are being fetched",
            f"{ended}; the next run fetches its results",
        ),
        DisplayState.CANCELLING: (
            "being cancelled",
            "the cancellation is not confirmed: the next run tries again",
        ),
        DisplayState.OUTPUTS_INSTALLED: (
            "outputs in place; Snakemake has not recorded the success yet",
            "outputs in place; the next run records the success",
        ),
    }[display_state(job)]
    return here if seen.going_on else later


def describe_run(seen: Overview) -> list[str]:
    """Return lines about the run, and what the user can do now."""
    lines = [_run(seen)]
    last = seen.last_run
    if seen.going_on and last is not None and last.ended is None and last.trouble:
        for_long = duration(seen.now - (last.trouble_since or seen.now))
        lines.append(f"It has been waiting for {for_long}: {last.trouble}.")
    left = len(seen.open)
    if left and not seen.going_on:
        lines.append(
            f"{plural(left, 'open job')}: run the same snakemake command again to go on, or "
            "'snakemake-grid cancel' to cancel."
        )
        if any(is_asked(job) and job.backend not in seen.servers for job in seen.open):
            lines.append(
                "The states are those that the last run saw; --server asks for the current ones."
            )
    if seen.pruned:
        lines.append(
            f"{plural(seen.pruned, 'submission')} of old runs are not counted: their rows were "
            "removed by 'snakemake-grid clean --history'; the report has their sums."
        )
    if seen.stale is not False:
        lines.append(_lock(seen))
    for backend, problem in seen.servers.items():
        if problem:
            lines.append(f"{backend} was not asked, so its states are older: {problem}")
    return lines


def _run(seen: Overview) -> str:
    last = seen.last_run
    if seen.going_on and (last is None or last.ended is not None):
        return "A run is beginning or ending here, or another command is running."
    if last is None:
        return "The journal contains no run."
    process = f"process {last.pid} on host {last.host}"
    began = duration(seen.now - last.started)
    if seen.going_on:
        return f"A run has been going on for {began}: backend {last.backend}, {process}."
    first = "No run is going on."
    if seen.going_on is None:
        first = f"It is unknown whether a run is going on: {seen.folder / 'lock'} cannot be locked."
    if last.ended is not None:
        how = _ENDS.get(last.end, "ended")
        ago = duration(seen.now - last.ended)
        return f"{first} The last one (backend {last.backend}) {how} {ago} ago, {process}."
    words = f"{first} The last one (backend {last.backend}, {process}) began {began} ago and"
    if seen.going_on is None or _is_elsewhere(last):
        return f"{words} has not noted its end: check on {last.host} whether it is still running."
    return f"{words} was killed, or the host went down: no job is lost."


def _lock(seen: Overview) -> str:
    locked = f"Snakemake's own lock exists ({seen.folder.parent / 'locks'})"
    last = seen.last_run
    if last is not None and (_is_elsewhere(last) or seen.stale is None):
        condition = f"Check on host {last.host} whether the last run is still running; if not,"
    else:
        condition = "If no other Snakemake is running in this directory,"
    return (
        f"{locked} and prevents the next run from starting. {condition} 'snakemake --unlock' is "
        "safe."
    )


def _is_elsewhere(run: RunRecord) -> bool:
    return run.host != socket.gethostname()


_OF_RUN = (
    *("name", "backend", "store", "host", "pid", "started", "ended", "end"),
    *("trouble", "trouble_since"),
)


def to_json(seen: Overview) -> dict[str, Any]:
    """Return the document of ``status --json``; times are seconds since the epoch.

    Its keys: ``time``; ``directory``; ``going_on`` (null if unknown); ``run`` (the last one:
    ``name``, ``backend``, ``store``, ``host``, ``pid``, ``started``, ``ended``, ``end``,
    ``trouble`` (what it waits for) and ``trouble_since``; null if there was none);
    ``snakemake_lock`` (``files``, ``stale``); ``states`` (how many jobs are in each state);
    ``rules`` and ``sites`` (the same, by rule and by site); ``oldest`` (seconds that the oldest
    ``queued`` and ``running`` job has been so); ``pruned`` (how many submissions of old runs were
    removed, which nothing here counts); ``jobs`` (the open ones) and ``failures``, the
    latest first; ``servers`` (with ``--server``: by backend, why it was not asked, null if it was).
    The states are those of `DisplayState`.
    """
    last = seen.last_run
    rules = counts(seen, lambda rule, _: rule)
    sites = counts(seen, lambda _, site: site)
    states = sum(rules.values(), Counter[DisplayState]())
    return {
        "time": seen.now,
        "directory": str(seen.folder.parents[1]),
        "going_on": seen.going_on,
        "run": {key: getattr(last, key) for key in _OF_RUN} if last else None,
        "snakemake_lock": {"files": seen.locks, "stale": seen.stale},
        "states": _counted(states),
        "rules": {key: _counted(some) for key, some in rules.items()},
        "sites": {key: _counted(some) for key, some in sites.items()},
        "oldest": {
            which.value: oldest(seen, which)
            for which in (DisplayState.QUEUED, DisplayState.RUNNING)
        },
        "pruned": seen.pruned,
        "jobs": [
            {**_job_to_json(seen, job), "waits_for": waits_for(seen, job)} for job in seen.open
        ],
        "failures": [_job_to_json(seen, job) for job in seen.failures],
        "servers": {backend: problem or None for backend, problem in seen.servers.items()},
    }


def _job_to_json(seen: Overview, job: JobRecord) -> dict[str, Any]:
    log = seen.log(job)
    return {
        "rule": job.rule,
        "wildcards": job.wildcards,
        "name": job.name,
        "jobid": job.jobid,
        "attempt": job.attempt,
        "backend": job.backend,
        "grid_id": job.grid_id,
        "state": display_state(job).value,
        "since": since(job),
        "submitted": job.sent,
        "site": job.site,
        "reason": job.detail,
        "log": str(log) if log else None,
    }


def _counted(some: Mapping[DisplayState, int]) -> dict[str, int]:
    return {which.value: some[which] for which in DisplayState if some.get(which)}
