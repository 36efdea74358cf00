"""What all plots have in common. Imports Plotly, which is optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from .words import label

_MARGIN = {"l": 48, "r": 12, "t": 34, "b": 40}
_LEGEND = {
    "orientation": "h",
    "traceorder": "normal",
    **{"xref": "container", "x": 0, "xanchor": "left"},
    **{"yref": "container", "y": 1, "yanchor": "top"},
}


def empty(height: float, **layout: Any) -> go.Figure:
    """Return a plot of a height in pixels without data."""
    figure = go.Figure()
    figure.update_layout(
        template="none", height=height, margin=_MARGIN, legend=_LEGEND, hovermode="closest"
    )
    figure.update_layout(**layout)
    return figure


def name_rows(figure: go.Figure, names: Sequence[str], longest: int) -> None:
    """Write names at the rows of a plot, each shortened to a length."""
    # Rows have numbers, as shortened names may be equal.
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[label(name, longest) for name in names],
        range=[len(names) - 0.4, -0.6],
        automargin=True,
        ticklabelstandoff=6,
        showgrid=False,
        zeroline=False,
    )
