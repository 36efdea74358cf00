"""What the jobs of each rule used and requested."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .intervals import Span
from .measured import number


@dataclass(frozen=True)
class Use:
    """What one submission used and requested; None if not known or not requested.

    Attributes:
        succeeded: Whether it succeeded.
        reason: The reason in its report.
        processors: Requested processors.
        run_s: Seconds that its payload ran.
        cpu_s: Processor time of its payload, in seconds.
        memory_mb: Largest resident size of any single process, in MB.
        asked_memory_mb: Requested memory, in MB.
        asked_runtime_s: Requested time, in seconds.
    """

    succeeded: bool
    reason: str
    processors: int
    run_s: float | None
    cpu_s: float | None
    memory_mb: float | None
    asked_memory_mb: float | None
    asked_runtime_s: float | None

    @property
    def busy(self) -> float | None:
        """Processors that were busy on average."""
        if self.cpu_s is None or not self.run_s:
            return None
        return self.cpu_s / self.run_s


@dataclass(frozen=True)
class Spread:
    """The distribution of some numbers.

    Attributes:
        number: How many there are.
        lowest: The lowest one.
        lower: First quartile.
        median: Second quartile.
        upper: Third quartile.
        highest: The highest one.
    """

    number: int
    lowest: float
    lower: float
    median: float
    upper: float
    highest: float


@dataclass(frozen=True)
class Resource:
    """One resource of the jobs of a rule.

    Attributes:
        asked: The lowest and the highest request of a job, None if no job has one.
        used: What jobs used, in the same unit; None if it is not known.
        share: Used divided by requested, None if either is missing.
    """

    asked: tuple[float, float] | None
    used: Spread | None
    share: Spread | None


@dataclass(frozen=True)
class Efficiency:
    """The submissions of one rule that came back with a report.

    Attributes:
        rule: Its name.
        submissions: Number of submissions.
        processors: Requested by ``threads``, and busy on average.
        memory_mb: Requested by ``mem_mb``, and the largest process of each one, in MB.
        runtime_s: Requested by ``runtime``, and how long payloads ran, in seconds.
        uses: The submissions.
    """

    rule: str
    submissions: int
    processors: Resource
    memory_mb: Resource
    runtime_s: Resource
    uses: tuple[Use, ...]


def efficiency(spans: Iterable[Span]) -> list[Efficiency]:
    """Return what the jobs of each rule used, in the order in which rules began."""
    rules: dict[str, list[Use]] = defaultdict(list)
    for span in spans:
        if span.measured.run_seconds is not None:
            rules[span.job.rule].append(_use(span))
    return [
        Efficiency(
            rule,
            len(uses),
            _resource([(use.busy, float(use.processors)) for use in uses]),
            _resource([(use.memory_mb, use.asked_memory_mb) for use in uses]),
            _resource([(use.run_s, use.asked_runtime_s) for use in uses]),
            tuple(uses),
        )
        for rule, uses in rules.items()
    ]


def spread(values: Sequence[float]) -> Spread | None:
    """Return the distribution of values, None if there are none."""
    if not values:
        return None
    lower = median = upper = values[0]
    if len(values) > 1:
        lower, median, upper = statistics.quantiles(values, method="inclusive")
    return Spread(len(values), min(values), lower, median, upper, max(values))


def _use(span: Span) -> Use:
    asked, report = span.job.requested, span.measured
    processors = number(asked.get("processors"))
    return Use(
        span.job.succeeded,
        report.reason,
        int(processors) if processors and processors >= 1 else 1,
        report.run_seconds,
        report.cpu_seconds,
        report.peak_memory_mb or None,  # 0: could not be measured
        number(asked.get("memory_mb")) or None,
        number(asked.get("runtime_s")) or None,
    )


def _resource(pairs: Sequence[tuple[float | None, float | None]]) -> Resource:
    asked = [asked for _, asked in pairs if asked]
    used = [used for used, _ in pairs if used is not None]
    shares = [used / asked for used, asked in pairs if used is not None and asked]
    return Resource((min(asked), max(asked)) if asked else None, spread(used), spread(shares))
