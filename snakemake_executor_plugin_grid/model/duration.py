"""Times as the user writes them."""

from __future__ import annotations

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds_of(text: str) -> int | None:
    """Return a time such as ``3600``, ``12h`` or ``30d`` in seconds; None if it is none."""
    number, unit = text.strip(), "s"
    if number and number[-1].lower() in _UNITS:
        number, unit = number[:-1].strip(), number[-1].lower()
    if not number.isdecimal() or int(number) == 0:
        return None
    return int(number) * _UNITS[unit]
