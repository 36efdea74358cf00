"""The data of the timeline: colours, the order of its rows, texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timezone
from typing import Any

from ..console.format import duration
from ..journal.records import Phase
from .failures import reason_of
from .intervals import Kind, Span, Timeline
from .words import LINE, label, paragraph

COLOURS = {
    Kind.UPLOADING: "#8a63b0",
    Kind.SUBMITTING: "#c3a6dd",
    Kind.WAITING: "#b4bcc6",
    Kind.FETCHING: "#e8930c",
    Kind.RUNNING: "#2f7ec0",
    Kind.DELIVERING: "#d8bd2b",
    Kind.UNNOTICED: "#7d8794",
    Kind.RETRIEVING: "#3c9d66",
}
PALETTE = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#55b5dd"),
    *("#aa3377", "#ee8866", "#33a98f", "#8f7ddb", "#a5a45c"),
)
OTHERS = "#8b949e"
"""Colour of the groups for which the palette has no colour."""
_LABELS = 45  # more would not fit


def clock_ms(time: float, zone: timezone) -> int:
    """Return a time for Plotly: milliseconds since the epoch, as if the zone were UTC."""
    return round((time + zone.utcoffset(None).total_seconds()) * 1000)


def groups(names: Sequence[str]) -> dict[str, str]:
    """Return the colour of each name; only the most frequent ones get different colours."""
    ordered = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    return {
        name: PALETTE[number] if number < len(PALETTE) else OTHERS
        for number, (name, _) in enumerate(ordered)
    }


def rule_of(span: Span) -> str:
    """Return the rule of a submission."""
    return span.job.rule


def rows_by(
    times: Timeline, key: Callable[[Span], str] | None
) -> tuple[list[int], list[dict[str, Any]]]:
    """Return the position of each row, and labels, each with its first and last row and its text.

    If there would be too many labels, there are none.

    Args:
        times: All jobs.
        key: Groups rows by their last submission; groups are ordered by their beginning. None
            keeps the order of time.
    """
    rows = times.rows
    if key is None:
        named = rows if len(rows) <= _LABELS else ()
        labels = [
            {"first": number, "last": number, "text": label(row[0].job.title)}
            for number, row in enumerate(named)
        ]
        return list(range(len(rows))), labels
    names = [key(row[-1]) for row in rows]
    first = {name: row for row, name in reversed(list(enumerate(names)))}
    order = sorted(range(len(rows)), key=lambda row: (first[names[row]], row))
    places = [0] * len(rows)
    labels = []
    for place, row in enumerate(order):
        places[row] = place
        if labels and names[row] == names[order[place - 1]]:
            labels[-1]["last"] = place
        else:
            labels.append({"first": place, "last": place, "text": label(names[row])})
    return places, labels if len(labels) <= _LABELS else []


def hover_text(span: Span) -> str:
    """Return the text that is shown when the pointer is over a bar."""
    job = span.job
    where = " · ".join(label(text) for text in (span.site, span.measured.host) if text)
    attempt = f" · attempt {job.attempt}" if job.attempt > 1 else ""
    lines = [
        f"<b>{label(job.title, 90)}</b>",
        f"{label(job.backend)} {label(job.grid_id or 'without id', 90)} · "
        f"{job.phase.value}{attempt}",
        where,
    ]
    parts = [
        f"{kind.value}: {duration(seconds)}" for kind in Kind if (seconds := span.seconds(kind))
    ]
    lines += [" · ".join(parts[start : start + 3]) for start in range(0, len(parts), 3)]
    if job.phase is Phase.FAILED:
        lines.append(f"<b>{label(reason_of(span), 80)}</b>")
    if job.detail and job.phase in (Phase.FAILED, Phase.CANCELLED):
        lines.append(paragraph(job.detail))
    return LINE.join(line for line in lines if line)
