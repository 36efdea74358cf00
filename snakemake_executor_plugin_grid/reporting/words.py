"""Numbers, times and foreign text for people to read."""

from __future__ import annotations

import html
import textwrap
from datetime import datetime, timedelta, timezone

LINE = "<br>"
"""Plotly's end of a line."""


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s"


def size(count: float | None) -> str:
    """Return a number of bytes with a unit."""
    if count is None:
        return "-"
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 1000 else f"{count:,.0f} TB"


def zone_at(time: float) -> timezone:
    """Return this host's time zone as it is at a time, the same for all times of a page."""
    offset = datetime.fromtimestamp(time).astimezone().utcoffset() or timedelta()
    return timezone(offset)


def moment(time: float | None, zone: timezone) -> str:
    """Return a time for people."""
    if time is None:
        return "-"
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%d %H:%M:%S}"


def plain(text: str, longest: int = 1000) -> str:
    """Return foreign text in one line of printable characters."""
    kept = "".join(char if char.isprintable() else " " for char in text[: longest + 1])
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def label(text: str, longest: int = 40) -> str:
    """Return foreign text for Plotly, which takes tags and entities in it for its own."""
    return html.escape(plain(text, longest), quote=False)


def paragraph(text: str, longest: int = 400, width: int = 80) -> str:
    """Return longer foreign text for Plotly, in lines."""
    lines = textwrap.wrap(plain(text, longest), width)
    return LINE.join(html.escape(line, quote=False) for line in lines)
