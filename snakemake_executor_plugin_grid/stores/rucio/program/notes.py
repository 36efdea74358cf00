"""Why transfers fail, which the errors of rucio-clients do not say."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from .errors import CallError, DamagedError, MovingError


class Notes:
    """A logger that keeps why attempts have failed: the library's error does not say it.

    Attributes:
        reasons: What went wrong, in order.
        damaged: Whether a checksum was wrong.
    """

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.damaged = False

    def log(self, level: int, message: object, *args: object, **_: object) -> None:
        """Print a message, and keep it if it is a reason."""
        text = str(message) % args if args else str(message)
        if level > logging.DEBUG:
            print(text, file=sys.stderr)
        if "Checksum validation failed" in text:
            self.damaged = True
            self._keep(text)
        if text.startswith("scheme: "):
            self._keep(text.partition("exception: ")[2])
        elif text.startswith("Exception: "):
            self._keep(text.partition(": ")[2])
        elif isinstance(message, Exception) or "source found" in text or "PFN has to" in text:
            self._keep(text)

    def debug(self, message: object, *args: object, **options: object) -> None:
        """Like ``log``: the library looks whether a logger has this."""
        self.log(logging.DEBUG, message, *args, **options)

    def _keep(self, text: str) -> None:
        # "RSE does not support requested operation.\nDetails: 403 Forbidden" hides what happened.
        reason = " ".join((text.partition("Details: ")[2] or text).split())
        if reason and reason not in self.reasons:
            self.reasons.append(reason)

    def error(self, traces: Sequence[dict[str, Any]]) -> CallError:
        """Return the error for what was noted."""
        for trace in traces:
            self._keep(str(trace.get("stateReason") or ""))
        # What a client without gfal2 cannot try comes last: it is always said.
        reasons = sorted(self.reasons, key=lambda reason: "Missing dependency" in reason)
        kind = DamagedError if self.damaged else MovingError
        return kind("; ".join(reasons) or "rucio-clients give no reason")
