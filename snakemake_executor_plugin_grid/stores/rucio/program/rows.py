"""Answers of Rucio as the other side gets them."""

from __future__ import annotations

import calendar
import datetime
from typing import Any

from .errors import CallError


def seconds(moment: Any, what: str) -> float | None:
    """Return a time of Rucio, which is UTC without saying so, in seconds since the epoch."""
    if moment is None:
        return None
    if not isinstance(moment, datetime.datetime):
        raise CallError(f"unexpected answer: {what} is {moment!r}")
    return float(calendar.timegm(moment.utctimetuple()))


def row(answer: Any) -> dict[str, Any]:
    """Return the useful part of the metadata of a name.

    ``lost`` is a file that has no replica any more; ``expires`` may be in the past.
    """
    try:
        if answer["created_at"] is None:
            raise TypeError
        return {
            "scope": str(answer["scope"]),
            "name": str(answer["name"]),
            "type": str(answer["did_type"]),
            "size": int(answer["bytes"] or 0),
            "adler32": _adler32(answer["adler32"]),
            "created": seconds(answer["created_at"], "created_at"),
            "expires": seconds(answer["expired_at"], "expired_at"),
            "lost": str(answer.get("availability") or "") in ("LOST", "DELETED"),
        }
    except (TypeError, KeyError, ValueError) as error:
        raise CallError(f"unexpected answer: {str(answer)[:200]!r}") from error


def _adler32(text: Any) -> str:
    # Some clients register it without its zeros at the front.
    return str(text).lower().zfill(8) if text else ""
