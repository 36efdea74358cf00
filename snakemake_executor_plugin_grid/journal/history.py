"""Sums up what jobs of old runs were, and removes their rows from the journal."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .database import Database
from .records import OPEN_PHASES

_SCHEMA = """
CREATE TABLE IF NOT EXISTS history (
    run TEXT NOT NULL,
    rule TEXT NOT NULL,
    site TEXT NOT NULL,
    phase TEXT NOT NULL,
    submissions INTEGER NOT NULL,
    run_seconds REAL NOT NULL,
    cpu_seconds REAL NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (run, rule, site, phase)
) WITHOUT ROWID;
"""
_OPEN = ", ".join(f"'{phase.value}'" for phase in OPEN_PHASES)
_REMOVABLE = f"""
    phase NOT IN ({_OPEN}) AND NOT needs_cleanup AND changed<?
    AND run IN (SELECT name FROM runs WHERE coalesce(ended, started)<?)
    AND run<>(SELECT name FROM runs ORDER BY started DESC LIMIT 1)
    AND CASE origin WHEN '' THEN name ELSE origin END NOT IN
        (SELECT CASE origin WHEN '' THEN name ELSE origin END FROM jobs WHERE phase IN ({_OPEN}))
    AND (grid_outputs='[]' OR phase='succeeded' AND NOT EXISTS
        (SELECT 1 FROM jobs WHERE phase IN ({_OPEN}) AND grid_outputs<>'[]'))
"""  # noqa: S608 - our own names
"""Not rows that a later run asks: of open jobs, what is still to be cleaned up, other submissions
of an open job, submissions that may have left outputs on the grid. The last run is kept."""


@dataclass(frozen=True)
class PrunedJobs:
    """Submissions of an old run whose rows were removed.

    Attributes:
        run: Id of the run.
        rule: Their rule.
        site: Where they ran; empty if not known.
        phase: How they ended: a value of ``Phase``.
        submissions: How many they were.
        run_seconds: Seconds that their payloads ran.
        cpu_seconds: Processor time of these.
        bytes_in: Bytes that they staged in.
        bytes_out: Bytes that they staged out.
    """

    run: str
    rule: str
    site: str
    phase: str
    submissions: int
    run_seconds: float
    cpu_seconds: float
    bytes_in: int
    bytes_out: int


HISTORY_COLUMNS = tuple(column.name for column in fields(PrunedJobs))

Measure = Callable[[Mapping[str, Any]], tuple[float, float, int, int]]
"""Returns seconds, processor seconds, bytes in and out of a report."""


class History:
    """The ``history`` table, and the rows of ``jobs`` that go into it."""

    def __init__(self, database: Database) -> None:
        """Make the table in a database, which the caller has locked."""
        database.create(_SCHEMA)
        self._database = database

    def removable(self, before: float) -> int:
        """Return how many submissions of runs that ended before a time can be removed."""
        statement = f"SELECT count(*) FROM jobs WHERE {_REMOVABLE}"  # noqa: S608 - our own names
        return int(self._database.query(statement, (before, before))[0][0])

    def prune(self, before: float, measure: Measure) -> int:
        """Sum up and remove them, all or none; return how many there were."""
        rows = self._database.query(
            f"SELECT name, run, rule, site, phase, report FROM jobs WHERE {_REMOVABLE}",  # noqa: S608
            (before, before),
        )
        sums: dict[tuple[str, str, str, str], list[float]] = defaultdict(lambda: [0] * 5)
        for _, run, rule, site, phase, text in rows:
            report = json.loads(text or "{}")
            some = sums[run, rule, site or str(report.get("site") or ""), phase]
            for place, value in enumerate((1, *measure(report))):
                some[place] += value
        names = [(row[0],) for row in rows]
        marks = ", ".join("?" * len(HISTORY_COLUMNS))
        added = ", ".join(f"{one}={one}+excluded.{one}" for one in HISTORY_COLUMNS[4:])
        self._database.change_together(
            [
                (
                    f"INSERT INTO history VALUES ({marks}) "  # noqa: S608 - our own names
                    f"ON CONFLICT (run, rule, site, phase) DO UPDATE SET {added}",
                    [(*key, *values) for key, values in sums.items()],
                ),
                ("DELETE FROM jobs WHERE name=?", names),
                ("DELETE FROM bundle_jobs WHERE released AND job=?", names),
                ("DELETE FROM decisions WHERE digest NOT IN (SELECT decision FROM jobs)", [()]),
            ]
        )
        return len(names)
