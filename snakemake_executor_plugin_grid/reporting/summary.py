"""The numbers of the report: those that the page shows and that ``--json`` prints."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..journal.history import PrunedJobs
from ..journal.records import JobRecord, Phase, RunRecord
from .advice import Advice, advise
from .efficiency import Efficiency, Spread, efficiency, spread
from .failures import Failure, counted, failures
from .intervals import Concurrency, Kind, Timeline, concurrency, site_of, timeline

_HIDDEN = frozenset({"changed", "identity", "endpoint", "needs_cleanup"})
"""Columns of the journal that only runs need."""

MOST_ROWS = 5000
"""Jobs for which the page has a row each, at most."""


@dataclass(frozen=True)
class Totals:
    """Numbers at the top of the page. A job counts by its last submission.

    Attributes:
        jobs: Number of jobs; a job that was submitted several times counts once.
        succeeded: Number of jobs that succeeded.
        failed: Number of jobs that failed.
        succeeded_on_retry: Number of jobs that succeeded after a submission had failed.
        cancelled: Number of jobs that were cancelled.
        open: Number of jobs that are on the grid, or whose end is not known.
        submissions: Number of submissions.
        grid_jobs: Number of jobs of the system that these were: fewer, if some were bundles.
        begin: When the first job began, in seconds since the epoch; None if there is none.
        end: When the last job ended, or the last time that is known of it.
        run_seconds: Seconds that payloads ran, in total.
        cpu_seconds: Processor time of payloads, in total.
        bytes_in: Bytes that workers staged in.
        bytes_out: Bytes that workers staged out.
        grid_in: Bytes that workers have read on the grid.
        grid_out: Bytes of outputs that stayed on the grid.
        stored_bytes: Bytes that runs put into stores.
        reused_bytes: Bytes that were in the stores already.
    """

    jobs: int
    succeeded: int
    failed: int
    succeeded_on_retry: int
    cancelled: int
    open: int
    submissions: int
    grid_jobs: int
    begin: float | None
    end: float | None
    run_seconds: float
    cpu_seconds: float
    bytes_in: int
    bytes_out: int
    grid_in: int
    grid_out: int
    stored_bytes: int
    reused_bytes: int


@dataclass(frozen=True)
class SiteUse:
    """The submissions to one site.

    Attributes:
        site: Its name, or "not known".
        submissions: Number of submissions.
        succeeded: How many of them succeeded.
        failed: How many of them failed.
        waited_s: Seconds in the queue.
        ran_s: Seconds that payloads ran.
        bytes_in: Bytes staged in there.
        bytes_out: Bytes staged out there.
    """

    site: str
    submissions: int
    succeeded: int
    failed: int
    waited_s: Spread | None
    ran_s: Spread | None
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True)
class Summary:
    """The whole report.

    Attributes:
        workflow: Name of the workflow's directory.
        made: When the report was made, in seconds since the epoch.
        now: End of the jobs that are open.
        runs: The runs.
        totals: Numbers at the top of the page.
        timeline: All jobs.
        concurrency: Numbers of jobs over time.
        sites: Submissions by site, the busiest site first.
        failures: Submissions that failed.
        logs: Files with the output of failed submissions, from the working directory, by name.
        efficiency: Used and requested resources, by rule.
        advice: What to request instead.
        history: Sums of submissions of old runs whose rows were removed; nothing else counts them.
    """

    workflow: str
    made: float
    now: float
    runs: tuple[RunRecord, ...]
    totals: Totals
    timeline: Timeline
    concurrency: Concurrency
    sites: tuple[SiteUse, ...]
    failures: tuple[Failure, ...]
    logs: Mapping[str, str]
    efficiency: tuple[Efficiency, ...]
    advice: tuple[Advice, ...]
    history: tuple[PrunedJobs, ...] = ()

    @property
    def aggregated(self) -> bool:
        """Whether there are too many jobs for a row each: the page then shows figures only."""
        return len(self.timeline.rows) > MOST_ROWS

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``report --json``: times and durations are in seconds."""
        return {
            "workflow": self.workflow,
            "made": self.made,
            "runs": [asdict(run) for run in self.runs],
            "totals": asdict(self.totals),
            "jobs": [
                {
                    **{key: value for key, value in asdict(span.job).items() if key not in _HIDDEN},
                    "phase": span.job.phase.value,
                    "site": span.site,
                    "segments": [
                        {"kind": part.kind.value, "begin": part.begin, "end": part.end}
                        for part in span.segments
                    ],
                }
                for span in self.timeline.spans
            ],
            "clocks": [asdict(clock) for clock in self.timeline.clocks],
            "concurrency": asdict(self.concurrency),
            "sites": [asdict(site) for site in self.sites],
            "failures": {
                "reasons": counted(self.failures),
                "jobs": [
                    {
                        "name": failure.job.name,
                        "grid_id": failure.job.grid_id,
                        "rule": failure.job.rule,
                        "wildcards": failure.job.wildcards,
                        "reason": failure.reason,
                        "detail": failure.job.detail,
                        "site": failure.site,
                        "host": failure.host,
                        "then": failure.then,
                        "logs": self.logs_of(failure.job),
                    }
                    for failure in self.failures
                ],
            },
            "efficiency": [
                {key: value for key, value in asdict(rule).items() if key != "uses"}
                for rule in self.efficiency
            ],
            "advice": [asdict(advice) for advice in self.advice],
            "history": [asdict(one) for one in self.history],
        }

    def logs_of(self, job: JobRecord) -> list[str]:
        """Return where the logs of a submission are, those of its rule first.

        The paths begin at the working directory.
        """
        own = [self.logs[job.name]] if job.name in self.logs else []
        return [*map(str, job.report.get("logs", ())), *own]


def summarise(
    workflow: str,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    made: float,
    *,
    going_on: bool,
    logs: Mapping[str, str] | None = None,
    history: Sequence[PrunedJobs] = (),
) -> Summary:
    """Compute the numbers of the report.

    Args:
        workflow: Name of the workflow's directory.
        runs: The runs.
        jobs: Their submissions, in their order.
        made: The time now, in seconds since the epoch.
        going_on: Whether a run is going on; if not, open jobs end at the last time that is known.
        logs: As in `Summary`.
        history: As in `Summary`.
    """
    now = made if going_on else last_known(runs, jobs, made)
    times = timeline(jobs, now)
    spans = times.spans
    found = failures(spans)
    rules = efficiency(spans)
    return Summary(
        workflow=workflow,
        made=made,
        now=now,
        runs=tuple(runs),
        totals=_totals(runs, times),
        timeline=times,
        concurrency=concurrency(spans),
        sites=_sites(times),
        failures=tuple(found),
        logs=logs or {},
        efficiency=tuple(rules),
        advice=tuple(advice for rule in rules for advice in advise(rule)),
        history=tuple(history),
    )


def last_known(runs: Sequence[RunRecord], jobs: Sequence[JobRecord], default: float) -> float:
    """Return the last time that the journal contains."""
    known = [time for run in runs for time in (run.started, run.ended)]
    for job in jobs:
        known += (job.began, job.sent, job.accepted, job.running, job.ended, job.finished)
    return max((time for time in known if time is not None), default=default)


def _totals(runs: Sequence[RunRecord], times: Timeline) -> Totals:
    last = [row[-1].job for row in times.rows]
    phases = Counter(job.phase for job in last)
    spans = times.spans
    return Totals(
        jobs=len(last),
        succeeded=sum(job.succeeded for job in last),
        failed=phases[Phase.FAILED],
        succeeded_on_retry=sum(
            row[-1].job.succeeded and any(span.job.phase is Phase.FAILED for span in row)
            for row in times.rows
        ),
        cancelled=phases[Phase.CANCELLED],
        open=sum(not (job.phase.over or job.succeeded) for job in last),
        submissions=len(spans),
        grid_jobs=len({_grid_job(span.job) for span in spans}),
        begin=min((span.begin for span in spans if span.begin is not None), default=None),
        end=max((span.end for span in spans if span.end is not None), default=None),
        run_seconds=sum(span.measured.run_seconds or 0.0 for span in spans),
        cpu_seconds=sum(span.measured.cpu_seconds or 0.0 for span in spans),
        bytes_in=sum(span.measured.bytes_in for span in spans),
        bytes_out=sum(span.measured.bytes_out for span in spans),
        grid_in=sum(span.measured.grid_in for span in spans),
        grid_out=sum(span.measured.grid_out for span in spans),
        stored_bytes=sum(run.stored_bytes for run in runs),
        reused_bytes=sum(run.reused_bytes for run in runs),
    )


def _grid_job(job: JobRecord) -> tuple[str, ...]:
    """Return what tells jobs of the system apart; a local site numbers them in each run."""
    return (job.backend, job.run, job.bundle) if job.bundle else (job.name,)


def _sites(times: Timeline) -> tuple[SiteUse, ...]:
    sites = defaultdict(list)
    for span in times.spans:
        sites[site_of(span)].append(span)
    found = [
        SiteUse(
            site=site,
            submissions=len(spans),
            succeeded=sum(span.job.succeeded for span in spans),
            failed=sum(span.job.phase is Phase.FAILED for span in spans),
            waited_s=spread([span.seconds(Kind.WAITING) for span in spans]),
            ran_s=spread([seconds for span in spans if (seconds := span.measured.run_seconds)]),
            bytes_in=sum(span.measured.bytes_in for span in spans),
            bytes_out=sum(span.measured.bytes_out for span in spans),
        )
        for site, spans in sites.items()
    ]
    return tuple(sorted(found, key=lambda use: (-use.submissions, use.site)))
