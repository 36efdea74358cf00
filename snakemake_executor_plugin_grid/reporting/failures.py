"""Jobs that failed: where, why, and what happened to them later."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..journal.records import JobRecord, Phase
from ..worker.report import SUCCESS
from .intervals import Span, site_of

SUCCEEDED_LATER = "succeeded on retry"
"""A later attempt of Snakemake at the same job has succeeded."""
# The words of `console.failure_message.without_report`.
_NO_REPORT = re.compile(r"it ended as \w+ and no report came back")
_LONGEST = 70  # characters of a reason


@dataclass(frozen=True)
class Failure:
    """A submission that failed.

    Attributes:
        job: Its row in the journal.
        reason: Short reason, which other failures share.
        site: Its site, or "not known".
        host: The worker node, empty if not known.
        then: What happened to the job later, empty if nothing did.
    """

    job: JobRecord
    reason: str
    site: str
    host: str
    then: str


def failures(spans: Sequence[Span]) -> list[Failure]:
    """Return the submissions that failed, in their order."""
    again: dict[str, list[JobRecord]] = defaultdict(list)
    same: dict[tuple[object, ...], list[JobRecord]] = defaultdict(list)
    for span in spans:
        again[span.job.origin].append(span.job)
        same[span.job.work].append(span.job)
    return [
        Failure(
            span.job,
            reason_of(span),
            site_of(span),
            span.measured.host,
            _then(span.job, again[span.job.origin], same[span.job.work]),
        )
        for span in spans
        if span.job.phase is Phase.FAILED
    ]


def counted(found: Iterable[Failure]) -> dict[str, dict[str, int]]:
    """Return how often each site had each reason, the most frequent reason first."""
    sites: dict[str, Counter[str]] = defaultdict(Counter)
    for failure in found:
        sites[failure.reason][failure.site] += 1
    ordered = sorted(sites.items(), key=lambda item: (-item[1].total(), item[0]))
    return {reason: dict(counts) for reason, counts in ordered}


def reason_of(span: Span) -> str:
    """Return why a submission failed, without details, so that equal reasons can be counted."""
    reason = span.measured.reason
    if reason and reason != SUCCESS:
        return reason[:_LONGEST]
    words = re.split(r"[;\n]", span.job.detail, maxsplit=1)[0]
    words = _NO_REPORT.sub("no report", words)
    words = re.sub(r"\d+(\.\d+)?", "…", words).strip()
    if len(words) > _LONGEST:
        words = words[: _LONGEST - 1] + "…"
    return words or "no reason known"


def _then(job: JobRecord, again: Sequence[JobRecord], same: Sequence[JobRecord]) -> str:
    later = [other for other in again if _after(other, job)]
    if later:
        return f"resubmitted as {later[0].grid_id or later[0].name}: {later[0].phase.value}"
    later = [other for other in same if _after(other, job)]
    if any(other.succeeded for other in later):
        return SUCCEEDED_LATER
    return f"retried: {later[-1].phase.value}" if later else ""


def _after(other: JobRecord, job: JobRecord) -> bool:
    return other.name != job.name and (other.sent or 0.0) > (job.sent or 0.0)
