"""Numbers and lists as the user reads them: durations, sizes, counts, shortened lists."""

from __future__ import annotations

from collections.abc import Sequence

from rich.filesize import decimal

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_HOURS_UP_TO = 48 * 3600  # limits such as 24 h are set in hours


def duration(seconds: float, units: int = 2) -> str:
    """Return a duration, such as "40 s", "5 min 3 s", "2 h" or "3 d 4 h".

    Args:
        seconds: The duration. Negative ones count as 0: the clocks of two hosts can differ.
        units: How many units are shown at most.
    """
    rest = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS[1:] if rest < _HOURS_UP_TO else _UNITS:
        number, rest = divmod(rest, length)
        if number or parts:
            parts.append((number, unit))
    return " ".join(f"{number} {unit}" for number, unit in parts[:units] if number) or "0 s"


def file_size(count: float) -> str:
    """Return a number of bytes, such as "12 bytes" or "1.5 MB"."""
    return decimal(round(count))


def plural(count: int, noun: str) -> str:
    """Return a number with a noun, such as "1 job" or "1,200 jobs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Sequence[str], shown: int = 10, separator: str = ", ") -> str:
    """Return the first items, and how many more there are: "a, b and 12 more"."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return separator.join(items[:shown]) + more


def clause(text: object) -> str:
    """Return a text or error without a full stop at its end, so that a sentence can go on."""
    return str(text).rstrip().rstrip(".")


def sentence(text: object) -> str:
    """Return a text or error with one full stop at its end, unless it ends with another sign."""
    plain = clause(text)
    return plain if plain.endswith(("?", "!", "…", ":")) else f"{plain}."
