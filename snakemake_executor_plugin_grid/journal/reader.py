"""Reads what the journal says of runs and jobs, for the commands; changes nothing."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..model.errors import GridError
from ..worker.decided.decision import Decision
from .database import DATABASE_FILE, connect, needs_shared_memory
from .file_system import is_local
from .history import HISTORY_COLUMNS, PrunedJobs
from .migrations import SCHEMA_VERSION, version_of
from .records import JOB_COLUMNS, OPEN_PHASES, RUN_COLUMNS, JobRecord, Phase, RunRecord

_SHOWN = tuple(phase.value for phase in (*OPEN_PHASES, Phase.FAILED))
_BRIEF = (
    *("name", "origin", "rule", "wildcards", "outputs", "phase", "site"),
    "CASE WHEN site='' THEN report END",
)
_SUFFIXES = ("-journal", "-wal", "")
_COPIES = 5
_PAUSE = 0.2


@dataclass(frozen=True)
class Latest:
    """The last submission of each job.

    Attributes:
        jobs: Those that are open or failed.
        others: How many others there are, by rule, site and phase.
    """

    jobs: list[JobRecord]
    others: Counter[tuple[str, str, Phase]] = field(default_factory=Counter)


class JournalReader:
    """Reads the journal of a workflow, also while a run on this or another host writes it.

    It makes no file beside the journal, except in write-ahead mode on a disk of this host.
    """

    def __init__(self, folder: Path) -> None:
        """Open the database for reading only.

        Args:
            folder: Folder of this package, below the working directory.

        Raises:
            GridError: It cannot be read.
        """
        self.path = folder / DATABASE_FILE
        self._copied = contextlib.ExitStack()
        self._copied_at: list[tuple[int, int]] | None = None
        self._jobs: dict[Sequence[Any], JobRecord] = {}
        with self._errors():
            version = self._open()
        if not version:
            raise GridError(f"{self.path}: cannot be read: there is no journal in it.")
        if version != SCHEMA_VERSION:
            age, way = "a newer", "upgrade the plugin"
            if version < SCHEMA_VERSION:
                age, way = "an older", "the next run here upgrades it"
            raise GridError(f"{self.path}: written by {age} version of the grid executor; {way}.")

    def _open(self) -> int:
        """Open the file or a copy, and return the version of its schema."""
        if is_local(self.path.parent) or not needs_shared_memory(self.path):
            try:
                self._connection = connect(self.path, "ro")
                return version_of(self._connection)
            except sqlite3.OperationalError:
                pass  # files beside it are needed that cannot be made
        self._copy()
        return version_of(self._connection)

    def _copy(self) -> None:
        """Read a copy of the file and its logs from now on: the copy may be repaired."""
        self._copied.close()
        made = tempfile.TemporaryDirectory(prefix="snakemake-grid-")
        folder = Path(self._copied.enter_context(made))
        for _ in range(_COPIES):
            self._copied_at = self._times()
            for suffix in _SUFFIXES:
                source = self.path.with_name(self.path.name + suffix)
                (folder / source.name).unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(source, folder / source.name)
            if self._times() == self._copied_at:
                break
            time.sleep(_PAUSE)  # a run has changed it meanwhile
        self._connection = connect(folder / self.path.name, "rw")
        self._copied.callback(self._connection.close)

    def _times(self) -> list[tuple[int, int]]:
        """Return what differs once the files have changed."""
        found = []
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                stat = self.path.with_name(self.path.name + suffix).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
        return found

    def runs(self) -> list[RunRecord]:
        """Return all runs, the oldest first."""
        return list(map(RunRecord.from_row, self._rows("runs", RUN_COLUMNS, "started")))

    def jobs(self) -> list[JobRecord]:
        """Return all submissions, the oldest first."""
        order = "sent, length(name), name"
        rows = self._rows("jobs", JOB_COLUMNS, order)
        # `status --watch` comes back: of the jobs that have not changed nothing is parsed again.
        self._jobs = {row: self._jobs.get(row) or JobRecord.from_row(row) for row in rows}
        return list(self._jobs.values())

    def latest(self) -> Latest:
        """Return the last submission of each job, the oldest first; those that are over as numbers.

        Two submissions are of the same job as in ``cli.selection.latest``.
        """
        by_origin: dict[str, Sequence[Any]] = {}
        for row in self._rows("jobs", _BRIEF, "sent, length(name), name"):
            name, origin = row[:2]
            by_origin.pop(origin or name, None)
            by_origin[origin or name] = row
        last: dict[object, Sequence[Any]] = {}
        for row in by_origin.values():
            last.pop(row[2:5], None)
            last[row[2:5]] = row
        shown, others = set(), Counter[tuple[str, str, Phase]]()
        for name, _, rule, _, _, phase, site, report in last.values():
            if phase in _SHOWN:
                shown.add(name)
            else:
                others[rule, site or _site_of(report), Phase(phase)] += 1
        where = "WHERE phase IN ({})".format(", ".join(f"'{phase}'" for phase in _SHOWN))
        rows = self._rows("jobs", JOB_COLUMNS, "sent, length(name), name", where)
        return Latest([JobRecord.from_row(row) for row in rows if row[0] in shown], others)

    def history(self) -> list[PrunedJobs]:
        """Return the sums of the submissions whose rows were removed, by run."""
        rows = self._rows("history", HISTORY_COLUMNS, "run, rule, site, phase")
        return [PrunedJobs(*row) for row in rows]

    def jobs_with_grid_outputs(self) -> list[JobRecord]:
        """Return the submissions with outputs on the grid since the first that is still open."""
        still = "phase IN ({})".format(", ".join(f"'{phase.value}'" for phase in OPEN_PHASES))
        begin = f"SELECT min(sent) FROM jobs WHERE {still} AND grid_outputs<>'[]'"  # noqa: S608
        where = f"WHERE grid_outputs<>'[]' AND sent>=({begin})"
        return list(map(JobRecord.from_row, self._rows("jobs", JOB_COLUMNS, "sent, name", where)))

    def decision(self, job: JobRecord) -> Decision | None:
        """Return what the worker did for a job; None if Snakemake ran there, or it is forgotten."""
        with self._errors():
            rows = self._connection.execute(
                "SELECT data FROM decisions WHERE digest=?", (job.decision,)
            ).fetchall()
        try:
            return Decision.from_json(json.loads(zlib.decompress(rows[0][0]))) if rows else None
        except (ValueError, zlib.error) as error:
            raise GridError(f"{self.path}: the decision of {job.name}: {error}") from error

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._copied.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(
        self, table: str, columns: Sequence[str], order: str, where: str = ""
    ) -> list[Sequence[Any]]:
        """Return the rows of a table, which a run that has just begun may not have made yet."""
        with self._errors():
            if self._copied_at is not None and self._copied_at != self._times():
                self._copy()
            try:
                return self._select(table, columns, order, where)
            except sqlite3.DatabaseError:  # a run was killed in a commit, or there are no locks
                self._copy()
                return self._select(table, columns, order, where)

    def _select(
        self, table: str, columns: Sequence[str], order: str, where: str
    ) -> list[Sequence[Any]]:
        made = "SELECT 1 FROM sqlite_master WHERE name=?"
        if not self._connection.execute(made, (table,)).fetchone():
            return []
        what = ", ".join(columns)
        statement = f"SELECT {what} FROM {table} {where} ORDER BY {order}"  # noqa: S608
        return self._connection.execute(statement).fetchall()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise GridError(f"{self.path}: cannot be read: {error}") from error


def _site_of(report: str | None) -> str:
    return str(json.loads(report or "{}").get("site") or "")
