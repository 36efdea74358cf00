"""Everything the report says, as values: what the page shows and ``--json`` prints."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..journal.database import FOLDER
from ..journal.reader import JobRecord, RunRecord
from ..journal.writer import Phase
from ..model.job import log_file
from .advice import Advice, advise
from .efficiency import Efficiency, Spread, efficiency, spread
from .failures import SUCCEEDED_LATER, Failure, counted, failures
from .intervals import Concurrency, Kind, Timeline, concurrency, site_of, timeline


@dataclass(frozen=True)
class Totals:
    """Numbers at the head.

    Attributes:
        jobs: Jobs; one that was submitted several times counts once.
        succeeded: By their last submission.
        failed: By their last submission.
        mended: Those of the failed that have succeeded in a later attempt.
        cancelled: By their last submission.
        open: On the grid, or not known to have ended.
        submissions: To the grid.
        begin: When the first job began, in seconds since the epoch; None when none did.
        end: When the last ended, or the end of what is known.
        run_seconds: That payloads ran, all together.
        cpu_seconds: Their processor time.
        bytes_in: That workers staged in.
        bytes_out: That workers staged out.
        stored_bytes: That runs put into stores.
        spared_bytes: That runs found in stores already.
    """

    jobs: int
    succeeded: int
    failed: int
    mended: int
    cancelled: int
    open: int
    submissions: int
    begin: float | None
    end: float | None
    run_seconds: float
    cpu_seconds: float
    bytes_in: int
    bytes_out: int
    stored_bytes: int
    spared_bytes: int


@dataclass(frozen=True)
class SiteUse:
    """Submissions that one site had.

    Attributes:
        site: Its name, or that it is not known.
        submissions: How many.
        succeeded: Of them.
        failed: Of them.
        waited_s: Seconds in the queue.
        ran_s: Seconds that payloads ran.
        bytes_in: Staged in there.
        bytes_out: Staged out there.
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
        made: When, in seconds since the epoch.
        now: Until when jobs are shown that are open.
        runs: Those it is about.
        totals: Numbers at the head.
        timeline: Of all jobs.
        concurrency: Jobs over time.
        sites: What each had, the busiest first.
        failures: Submissions that failed.
        logs: Names of submissions that have a log in ``.snakemake/grid/logs``.
        efficiency: By rule.
        advice: What to ask for instead.
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
    logs: frozenset[str]
    efficiency: tuple[Efficiency, ...]
    advice: tuple[Advice, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same for scripts: times in seconds since the epoch, durations in seconds."""
        return {
            "workflow": self.workflow,
            "made": self.made,
            "runs": [asdict(run) for run in self.runs],
            "totals": asdict(self.totals),
            "jobs": [
                {
                    **asdict(span.job),
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
                        "log": self.log_of(failure.job),
                    }
                    for failure in self.failures
                ],
            },
            "efficiency": [
                {key: value for key, value in asdict(rule).items() if key != "uses"}
                for rule in self.efficiency
            ],
            "advice": [asdict(advice) for advice in self.advice],
        }

    def log_of(self, job: JobRecord) -> str | None:
        """Return where the log of a submission is, below the working directory."""
        return str(log_file(FOLDER, job.name)) if job.name in self.logs else None


def summarise(
    workflow: str,
    runs: Sequence[RunRecord],
    jobs: Sequence[JobRecord],
    made: float,
    *,
    going_on: bool,
    logs: Collection[str] = (),
) -> Summary:
    """Work everything out.

    Args:
        workflow: Name of the workflow's directory.
        runs: Those it is about.
        jobs: Their submissions, in their order.
        made: The time, in seconds since the epoch.
        going_on: Whether a run goes on: if not, open jobs end with what is known.
        logs: Names of submissions that have a log.
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
        totals=_totals(runs, times, found),
        timeline=times,
        concurrency=concurrency(spans),
        sites=_sites(times),
        failures=tuple(found),
        logs=frozenset(logs),
        efficiency=tuple(rules),
        advice=tuple(advice for rule in rules for advice in advise(rule)),
    )


def last_known(runs: Sequence[RunRecord], jobs: Sequence[JobRecord], default: float) -> float:
    """Return the time of the last thing that the journal tells."""
    known = [time for run in runs for time in (run.started, run.ended)]
    for job in jobs:
        known += (job.began, job.sent, job.taken, job.running, job.ended, job.landed)
    return max((time for time in known if time is not None), default=default)


def _totals(runs: Sequence[RunRecord], times: Timeline, found: Sequence[Failure]) -> Totals:
    last = [row[-1].job for row in times.rows]
    phases = Counter(job.phase for job in last)
    names = {job.name for job in last}
    spans = times.spans
    return Totals(
        jobs=len(last),
        succeeded=sum(job.succeeded for job in last),
        failed=phases[Phase.FAILED],
        mended=sum(one.then == SUCCEEDED_LATER and one.job.name in names for one in found),
        cancelled=phases[Phase.CANCELLED],
        open=sum(not (job.phase.over or job.succeeded) for job in last),
        submissions=len(spans),
        begin=min((span.begin for span in spans if span.begin is not None), default=None),
        end=max((span.end for span in spans if span.end is not None), default=None),
        run_seconds=sum(span.measured.run_seconds or 0.0 for span in spans),
        cpu_seconds=sum(span.measured.cpu_seconds or 0.0 for span in spans),
        bytes_in=sum(span.measured.bytes_in for span in spans),
        bytes_out=sum(span.measured.bytes_out for span in spans),
        stored_bytes=sum(run.stored_bytes for run in runs),
        spared_bytes=sum(run.spared_bytes for run in runs),
    )


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
