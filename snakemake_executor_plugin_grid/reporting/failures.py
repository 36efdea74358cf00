"""Which jobs failed, where and why, and what came of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..journal.reader import JobRecord
from ..journal.writer import Phase
from ..worker.report import SUCCESS
from .intervals import Span, site_of

SUCCEEDED_LATER = "succeeded later"
"""What became of a job that a later attempt of Snakemake has mended."""
_NO_REPORT = re.compile(r"it ended as \w+ and no report came back")  # `messages.without_report`
_LONGEST = 70  # characters of a reason that is made of other words


@dataclass(frozen=True)
class Failure:
    """A submission that failed.

    Attributes:
        job: What the journal has of it.
        reason: One of few, to be counted.
        site: Where it ran, or that it is not known.
        host: The worker node, empty when not known.
        then: What became of the job: empty when nothing has yet.
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
    """Return by reason, the most frequent first, how often each site had it."""
    sites: dict[str, Counter[str]] = defaultdict(Counter)
    for failure in found:
        sites[failure.reason][failure.site] += 1
    ordered = sorted(sites.items(), key=lambda item: (-item[1].total(), item[0]))
    return {reason: dict(counts) for reason, counts in ordered}


def reason_of(span: Span) -> str:
    """Return why a submission failed, in words that others have in common with it."""
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
        return f"sent again as {later[0].grid_id or later[0].name}: {later[0].phase.value}"
    later = [other for other in same if _after(other, job)]
    if any(other.succeeded for other in later):
        return SUCCEEDED_LATER
    return f"tried again: {later[-1].phase.value}" if later else ""


def _after(other: JobRecord, job: JobRecord) -> bool:
    return other.name != job.name and (other.sent or 0.0) > (job.sent or 0.0)
