"""How many jobs go into one grid job, as options and resources say it."""

from __future__ import annotations

OFF, AUTO = "off", "auto"
MOST = 1000
"""Jobs that a bundle may have."""


def problem_of(size: str) -> str:
    """Return what is wrong with the size of bundles, empty if nothing is."""
    if size in (OFF, AUTO) or (size.isascii() and size.isdecimal() and 1 <= int(size) <= MOST):
        return ""
    return f"has to be {OFF}, {AUTO} or a number from 1 to {MOST}, not {size!r}"
