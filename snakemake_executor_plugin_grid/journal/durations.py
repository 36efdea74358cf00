"""How long jobs of a rule usually take on the worker, learned from those that have succeeded."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .database import Database
from .records import Phase

_LAST = 20
_FRESH = 30.0  # seconds


class Durations:
    """Usual durations by rule; each is read again after half a minute."""

    def __init__(self, database: Database, backend: str) -> None:
        """Read nothing yet.

        Args:
            database: Has the journal.
            backend: Whose jobs count.
        """
        self._database = database
        self._backend = backend
        self._known: dict[str, tuple[float, float | None]] = {}

    def __call__(self, rules: Iterable[str]) -> Mapping[str, float]:
        """Return the median of the last jobs of rules in seconds; unknown rules are left out.

        It blocks.
        """
        now = time.monotonic()
        found = {}
        for rule in rules:
            read, seconds = self._known.get(rule, (-_FRESH, None))
            if now - read >= _FRESH:
                seconds = self._read(rule)
                self._known[rule] = now, seconds
            if seconds is not None:
                found[rule] = seconds
        return found

    def _read(self, rule: str) -> float | None:
        rows = self._database.query(
            "SELECT report FROM jobs WHERE rule=? AND backend=? AND phase IN (?, ?) "
            "ORDER BY finished DESC LIMIT ?",
            (
                *(rule, self._backend),
                *(Phase.SUCCEEDED.value, Phase.OUTPUTS_INSTALLED.value, _LAST),
            ),
        )
        seconds = [one for (report,) in rows if (one := _seconds(report)) is not None]
        return statistics.median(seconds) if seconds else None


def _seconds(report: str | None) -> float | None:
    times: dict[str, Any] = json.loads(report or "{}").get("times", {})
    if "received" in times and "ended" in times:
        return max(0.0, float(times["ended"]) - float(times["received"]))
    return None
