"""The plots of used resources, one for each resource. Imports Plotly, which is optional."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .chart import COLOURS
from .efficiency import Efficiency, Resource, Spread
from .intervals import Kind
from .plots import empty, name_rows

_LIMIT = "#d5484f"


@dataclass(frozen=True)
class Panel:
    """A plot of one resource.

    Attributes:
        name: Id of its element.
        title: Its title.
        figure: The plot.
    """

    name: str
    title: str
    figure: go.Figure


def panels(rules: Sequence[Efficiency]) -> list[Panel]:
    """Return the plots of the resources that jobs used.

    They show shares of what was requested, or what was used if no rule requested the resource.
    """
    names = [rule.rule for rule in rules]
    processors = [rule.processors for rule in rules]
    memory = [rule.memory_mb for rule in rules]
    time = [rule.runtime_s for rule in rules]
    found = (
        _panel("Processors busy", "threads", names, processors, (1.0, "")),
        _panel("Peak memory", "mem_mb", names, memory, (1.0, "MB")),
        _panel("Run time", "runtime", names, time, _time_unit(time)),
    )
    return [panel for panel in found if panel is not None]


_COLOURS = {"threads": Kind.RUNNING, "mem_mb": Kind.UPLOADING, "runtime": Kind.FETCHING}


def _panel(
    title: str,
    request: str,
    rules: Sequence[str],
    resources: Sequence[Resource],
    unit: tuple[float, str],
) -> Panel | None:
    requested = any(resource.share for resource in resources)
    scale, name = (100.0, "%") if requested else unit
    spreads = [resource.share if requested else resource.used for resource in resources]
    known = [(row, some) for row, some in enumerate(spreads) if some is not None]
    if not known:
        return None
    figure = empty(height=84 + 44 * len(rules), showlegend=False)
    figure.update_layout(margin={"t": 8, "r": 24})
    figure.add_trace(_boxes(known, scale, COLOURS[_COLOURS[request]]))
    most = scale * max(some.highest for _, some in known)
    end = max(108.0, 1.05 * most) if requested else 1.05 * most or 1.0
    precision = ".0f" if most >= 100 else ".2g"
    figure.update_xaxes(range=[0, end], hoverformat=precision, nticks=7, tickangle=0)
    if requested:
        figure.add_vline(x=100, line={"color": _LIMIT, "width": 1, "dash": "dot"})
    name_rows(figure, rules, longest=30)
    given = f" of {request}" if requested else f" ({request} is not requested)"
    return Panel(f"used-{request}", f"{title}{f', {name}' if name else ''}{given}", figure)


def _boxes(known: Sequence[tuple[int, Spread]], scale: float, colour: str) -> go.Box:
    return go.Box(
        orientation="h",
        y=[row for row, _ in known],
        lowerfence=[scale * some.lowest for _, some in known],
        q1=[scale * some.lower for _, some in known],
        median=[scale * some.median for _, some in known],
        q3=[scale * some.upper for _, some in known],
        upperfence=[scale * some.highest for _, some in known],
        marker={"color": colour},
        line={"width": 1.5},
        hoverinfo="x",
    )


def _time_unit(resources: Sequence[Resource]) -> tuple[float, str]:
    """Return the factor and the unit for run times in seconds."""
    most = max((some.used.highest for some in resources if some.used is not None), default=0.0)
    if most >= 3 * 3600:
        return 1 / 3600, "h"
    return (1 / 60, "min") if most >= 180 else (1.0, "s")
