"""The plots. Imports Plotly, which is optional: import this module only to draw.

The page sets the colours of text and lines, as it can be light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timezone
from typing import Any

import plotly.graph_objects as go

from ..journal.records import Phase, RunRecord
from .chart import COLOURS, OTHERS, clock_ms, groups, hover_text, rows_by, rule_of
from .failures import counted
from .intervals import Kind, site_of
from .panels import panels
from .plots import empty, name_rows
from .summary import SiteUse, Summary
from .words import label

GOOD, BAD, NEITHER = "#3c9d66", "#d5484f", "#b4bcc6"
_WAITING_FILL, _RUNNING_FILL = "rgba(140,150,165,0.30)", "rgba(47,126,192,0.35)"


def figures(summary: Summary, zone: timezone) -> dict[str, Any]:
    """Return the plots of the page, as values for JSON.

    Args:
        summary: The numbers.
        zone: Time zone of the axes.
    """
    drawn = {}
    if any(span.segments for span in summary.timeline.spans):
        if not summary.aggregated:
            drawn["timeline"] = _timeline(summary, zone)
        drawn["concurrency"] = _concurrency(summary, zone)
    if summary.failures:
        drawn["reasons"] = _reasons(summary)
    if summary.sites:
        drawn["sites"] = _sites(summary.sites)
    efficiency = panels(summary.efficiency)
    drawn |= {panel.name: panel.figure for panel in efficiency}
    found = {name: figure.to_plotly_json() for name, figure in drawn.items()}
    return {
        "figures": found,
        "timeline": _choices(summary) if "timeline" in drawn else None,
        "panels": [{"name": panel.name, "title": panel.title} for panel in efficiency],
    }


def _timeline(summary: Summary, zone: timezone) -> go.Figure:
    """Return the bars; the page sets their rows, in an order that the user chooses."""
    rows = summary.timeline.rows
    figure = empty(
        height=min(760, 120 + 16 * len(rows)),
        barmode="overlay",
        bargap=0.15 if len(rows) <= 200 else 0,
    )
    spans = summary.timeline.spans
    for kind in Kind:
        bars = [
            (number, part)
            for number, span in enumerate(spans)
            for part in span.segments
            if part.kind is kind
        ]
        if not bars:
            continue
        figure.add_bar(
            orientation="h",
            name=kind.value,
            base=[clock_ms(part.begin, zone) for _, part in bars],
            x=[round((part.end - part.begin) * 1000) for _, part in bars],
            customdata=[number for number, _ in bars],
            marker={"color": COLOURS[kind], "line": {"width": 0}},
            hoverinfo="text",
            meta="run" if kind is Kind.RUNNING else "part",
        )
    for phase, symbol in ((Phase.FAILED, "x"), (Phase.CANCELLED, "line-ns-open")):
        ends = [
            (number, span.end)
            for number, span in enumerate(spans)
            if span.job.phase is phase and span.end is not None
        ]
        if ends:
            figure.add_scatter(
                mode="markers",
                name=phase.value,
                x=[clock_ms(end, zone) for _, end in ends],
                customdata=[number for number, _ in ends],
                marker={"color": BAD, "symbol": symbol, "size": 7},
                hoverinfo="text",
                meta="end",
            )
    figure.update_xaxes(type="date", range=_range(summary, zone))
    figure.update_yaxes(zeroline=False, showgrid=False)
    _shade_runs(figure, summary.runs, summary.now, zone)
    return figure


def _range(summary: Summary, zone: timezone) -> list[int]:
    """Return the range of time that both plots show at first."""
    begin, end = summary.totals.begin or 0.0, summary.totals.end or 0.0
    margin = max(1.0, (end - begin) / 100)
    return [clock_ms(begin - margin, zone), clock_ms(end + margin, zone)]


def _shade_runs(figure: go.Figure, runs: Sequence[RunRecord], now: float, zone: timezone) -> None:
    """Shade the times when a run was going on."""
    for run in runs:
        end = max(run.started, run.ended if run.ended is not None else now)
        figure.add_shape(
            type="rect",
            layer="below",
            xref="x",
            yref="paper",
            x0=clock_ms(run.started, zone),
            x1=clock_ms(end, zone),
            y0=0,
            y1=1,
            fillcolor="rgba(120,140,170,0.13)",
            line={"width": 0},
        )


def _choices(summary: Summary) -> dict[str, Any]:
    """Return the orders and colours of the timeline that the user can choose, and its texts."""
    spans = summary.timeline.spans
    orders, colours = {}, {}
    for name, key in (("time", None), ("rule", rule_of), ("site", site_of)):
        places, labels = rows_by(summary.timeline, key)
        orders[name] = {"places": places, "labels": labels}
        if key is not None:
            names = [key(span) for span in spans]
            of = groups(names)
            colours[name] = {
                "spans": [of[name] for name in names],
                "legend": _legend(of),
            }
    return {
        "texts": [hover_text(span) for span in spans],
        "rows": [row for row, some in enumerate(summary.timeline.rows) for _ in some],
        "orders": orders,
        "colours": colours,
    }


def _legend(colours: Mapping[str, str]) -> list[dict[str, str]]:
    named = [(name, colour) for name, colour in colours.items() if colour != OTHERS]
    if len(named) < len(colours):
        named.append((f"{len(colours) - len(named)} others", OTHERS))
    return [{"text": name, "colour": colour} for name, colour in named]


def _concurrency(summary: Summary, zone: timezone) -> go.Figure:
    counts = summary.concurrency
    times = [clock_ms(time, zone) for time in counts.times]
    figure = empty(height=230, hovermode="x unified")
    for name, values, colour, fill in (
        ("in a queue", counts.waiting, COLOURS[Kind.WAITING], _WAITING_FILL),
        ("on a worker", counts.running, COLOURS[Kind.RUNNING], _RUNNING_FILL),
    ):
        figure.add_scatter(
            x=times,
            y=list(values),
            name=name,
            mode="lines",
            line={"shape": "hv", "width": 1.5, "color": colour},
            fill="tozeroy",
            fillcolor=fill,
        )
    figure.update_xaxes(type="date", range=_range(summary, zone))
    figure.update_yaxes(rangemode="tozero")
    _shade_runs(figure, summary.runs, summary.now, zone)
    return figure


def _reasons(summary: Summary) -> go.Figure:
    counts = counted(summary.failures)
    reasons = list(counts)
    of = groups([failure.site for failure in summary.failures])
    named = [site for site in of if of[site] != OTHERS]
    lines = math.ceil(len(named) / 3)  # in the legend
    figure = empty(height=62 + 34 * len(reasons) + 18 * lines, barmode="stack", bargap=0.3)
    for site in named:
        values = [counts[reason].get(site, 0) for reason in reasons]
        _stack(figure, label(site, 24), values, of[site])
    if len(named) < len(of):
        others = [
            sum(count for site, count in counts[reason].items() if site not in named)
            for reason in reasons
        ]
        _stack(figure, "other sites", others, OTHERS)
    _count_jobs(figure)
    name_rows(figure, reasons, longest=48)
    figure.update_layout(showlegend=True)
    return figure


def _sites(sites: Sequence[SiteUse]) -> go.Figure:
    figure = empty(height=80 + 34 * len(sites), barmode="stack", bargap=0.3)
    _stack(figure, "succeeded", [site.succeeded for site in sites], GOOD)
    _stack(figure, "failed", [site.failed for site in sites], BAD)
    rest = [site.submissions - site.succeeded - site.failed for site in sites]
    if any(rest):
        _stack(figure, "cancelled or open", rest, NEITHER)
    _count_jobs(figure)
    name_rows(figure, [site.site for site in sites], longest=30)
    return figure


def _stack(figure: go.Figure, name: str, values: Sequence[int], colour: str) -> None:
    figure.add_bar(
        orientation="h",
        name=name,
        x=list(values),
        y=list(range(len(values))),
        marker={"color": colour, "line": {"width": 0}},
        hoverinfo="x+name",
    )


def _count_jobs(figure: go.Figure) -> None:
    """Let the axis of stacked bars show whole numbers only."""
    most = max(map(sum, zip(*(trace.x for trace in figure.data), strict=True)), default=0)
    figure.update_xaxes(dtick=1 if most < 10 else None)
