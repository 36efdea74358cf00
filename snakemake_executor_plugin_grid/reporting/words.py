"""Times and texts from jobs, as the page shows them."""

from __future__ import annotations

import html
import textwrap
from datetime import datetime, timedelta, timezone

LINE = "<br>"
"""Plotly's line break."""


def zone_at(time: float) -> timezone:
    """Return this host's time zone at a time, which the page then uses for all times."""
    offset = datetime.fromtimestamp(time).astimezone().utcoffset() or timedelta()
    return timezone(offset)


def moment(time: float | None, zone: timezone) -> str:
    """Return a time as text, "-" for None."""
    if time is None:
        return "-"
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%d %H:%M:%S}"


def plain(text: str, longest: int = 1000) -> str:
    """Return a text from a job as one line of printable characters."""
    printable = "".join(char if char.isprintable() else " " for char in text[: longest + 1])
    return printable if len(printable) <= longest else printable[: longest - 1] + "…"


def label(text: str, longest: int = 40) -> str:
    """Return a text from a job for Plotly, which interprets tags and entities."""
    return html.escape(plain(text, longest), quote=False)


def paragraph(text: str, longest: int = 400, width: int = 80) -> str:
    """Return a longer text from a job for Plotly, wrapped."""
    lines = textwrap.wrap(plain(text, longest), width)
    return LINE.join(html.escape(line, quote=False) for line in lines)
