"""Advice on resources: only if enough jobs support it, and never less than they used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..console.format import plural
from ..worker.report import KILLED, TIME_LIMIT
from .efficiency import Efficiency, Use

ENOUGH = 5
"""Submissions that have to succeed before the report advises to request less."""
CLOSE = 0.9
"""Fraction of a limit from which on the report warns."""
MEMORY_MARGIN = 1.3
RUNTIME_MARGIN = 1.5
"""Worker nodes differ more in speed than jobs do in memory."""
THREADS_MARGIN = 1.1
_WORTH = 0.75  # advise less only if it is at most this fraction of the request
_LONG_S = 30.0  # seconds that a job has to run to tell how many processors it uses
_RUNTIMES = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720)


@dataclass(frozen=True)
class Advice:
    """A sentence for the author of a workflow.

    Attributes:
        rule: Name of the rule.
        resource: ``threads``, ``mem_mb`` or ``runtime``.
        warning: Whether jobs may fail; else they request too much.
        text: The sentence.
        value: The advised value, in the unit of the resource; None if it depends on the job.
    """

    rule: str
    resource: str
    warning: bool
    text: str
    value: int | None


@dataclass(frozen=True)
class _Limit:
    """A resource whose limit ends a job that uses more."""

    name: str
    unit: str
    margin: float
    rounded: Callable[[float], int]


def round_memory(size: float) -> int:
    """Return the next round number of MB, at least 200."""
    size = max(size, 200.0)
    scale = 10.0 ** math.floor(math.log10(size))
    return next(
        math.ceil(scale * step)
        for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
        if scale * step >= size
    )


def round_minutes(minutes: float) -> int:
    """Return the next round number of minutes, at least 5; above 12 h, a multiple of 12 h."""
    return next((some for some in _RUNTIMES if some >= minutes), math.ceil(minutes / 720) * 720)


_MEMORY = _Limit("mem_mb", "MB", MEMORY_MARGIN, round_memory)
_RUNTIME = _Limit("runtime", "min", RUNTIME_MARGIN, round_minutes)


def advise(rule: Efficiency) -> list[Advice]:
    """Return the advice for a rule."""
    found = [
        _threads(rule),
        _limit(
            rule,
            _MEMORY,
            [(use, use.memory_mb, use.asked_memory_mb) for use in rule.uses],
            sum(use.reason == KILLED for use in rule.uses),
        ),
        _limit(
            rule,
            _RUNTIME,
            [(use, _minutes(use.run_s), _minutes(use.asked_runtime_s)) for use in rule.uses],
            sum(use.reason == TIME_LIMIT for use in rule.uses),
        ),
    ]
    return [advice for advice in found if advice is not None]


def _minutes(seconds: float | None) -> float | None:
    return seconds / 60 if seconds is not None else None


def _limit(
    rule: Efficiency,
    limit: _Limit,
    uses: Sequence[tuple[Use, float | None, float | None]],
    stopped: int,
) -> Advice | None:
    pairs = [(used, asked) for _, used, asked in uses if used is not None and asked]
    if not pairs:
        return None
    most = max(used for used, _ in pairs)
    enough = limit.rounded(most * limit.margin)
    asked = sorted({asked for _, asked in pairs})
    text = f"{limit.name}={_range(asked)} requested"
    close = sum(used >= CLOSE * asked for used, asked in pairs)
    single = len(asked) == 1
    if close or (stopped and limit is _RUNTIME):
        more = f"{limit.name}={enough} would be safe" if single else "request more"
        met = (
            f"{plural(stopped, 'submission')} ran into it"
            if stopped and limit is _RUNTIME
            else f"{plural(close, 'submission')} of {len(pairs)} came within 10 % of it or beyond"
        )
        text = f"{text}, {met} (at most {_shown(most)} {limit.unit} used): {more}"
        return Advice(rule.rule, limit.name, True, text, enough if single else None)
    evidence = sum(use.succeeded and used is not None and bool(ask) for use, used, ask in uses)
    if evidence < ENOUGH or stopped:  # a killed job would have used more
        return None
    caveat = ""
    if limit is _MEMORY and any(use.processors > 1 for use in rule.uses):
        caveat = " (of the largest process: add the others if a job runs several at once)"
    used_by = f"used by {plural(len(pairs), 'submission')}"
    if single and enough <= _WORTH * asked[0]:
        text += f", at most {_shown(most)} {limit.unit} {used_by}: {limit.name}={enough} would do"
        return Advice(rule.rule, limit.name, False, text + caveat, enough)
    share = max(used / asked for used, asked in pairs)
    part = math.ceil(share * limit.margin * 20) * 5
    if not single and part <= _WORTH * 100:
        text += f", at most {100 * share:.0f} % of it {used_by}: {part} % of it would do"
        return Advice(rule.rule, limit.name, False, text + caveat, None)
    return None


def _threads(rule: Efficiency) -> Advice | None:
    long = [use for use in rule.uses if (use.run_s or 0.0) >= _LONG_S and use.busy is not None]
    if not long:
        return None
    busy = [use.busy or 0.0 for use in long]
    most, usual = max(busy), sum(busy) / len(busy)
    asked = sorted({float(use.processors) for use in long})
    enough = 1 if most <= 1 else math.ceil(most * THREADS_MARGIN)
    text = (
        f"threads={_range(asked)} requested, {usual:.1f} busy on average and {most:.1f} in the "
        f"busiest of {plural(len(long), 'submission')}"
    )
    over = sum((use.busy or 0.0) > use.processors * THREADS_MARGIN + 0.1 for use in long)
    if over:
        text += f", {plural(over, 'submission')} used more than requested; sites may kill such jobs"
        more = f": threads={enough} would be right" if len(asked) == 1 else ""
        return Advice(rule.rule, "threads", True, text + more, enough if more else None)
    if sum(use.succeeded for use in long) < ENOUGH or enough > asked[0] / 2:
        return None
    return Advice(rule.rule, "threads", False, f"{text}: threads={enough} would do", enough)


def _range(values: Sequence[float]) -> str:
    if len(values) == 1:
        return _shown(values[0])
    return f"{_shown(values[0])}…{_shown(values[-1])}"


def _shown(value: float) -> str:
    return f"{value:.1f}" if value < 10 and value != int(value) else f"{value:.0f}"
