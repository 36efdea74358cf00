"""What the journal tells of runs and jobs, for the command line: nothing is changed here."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..model.errors import GridError
from ..model.job import title
from .database import DATABASE_FILE, SCHEMA_VERSION
from .writer import Phase


@dataclass(frozen=True)
class RunRecord:
    """One run of Snakemake; times are seconds since the epoch.

    Attributes:
        name: Id of the run.
        backend: As in ``--grid-backend``.
        store: URL of its store.
        host: Where its controller ran.
        pid: Process of its controller.
        settings: Options that differ from their defaults.
        started: When it began.
        ended: When it ended; None while it goes on, or when it was killed.
        end: As in ``Journal.end_run``, or empty.
        stored_bytes: Bytes that went into the store.
        spared_bytes: Bytes that were there already.
        trouble: What it waits for, such as a server that does not answer; empty when all is well.
        troubled: Since when.
    """

    name: str
    backend: str
    store: str
    host: str
    pid: int
    settings: dict[str, Any]
    started: float
    ended: float | None
    end: str
    stored_bytes: int
    spared_bytes: int
    trouble: str = ""
    troubled: float | None = None


@dataclass(frozen=True)
class JobRecord:
    """One submission of a job; times are seconds since the epoch, None when not come to.

    Attributes:
        name: Unique name; that of its log below ``.snakemake/grid/logs`` as well.
        origin: Name under which the same job was submitted first: another where the
            infrastructure has failed it meanwhile.
        run: Id of the run that follows it, or was the last to.
        rule: Its rule, or group.
        wildcards: Names and values.
        jobid: Snakemake's own id.
        attempt: Snakemake's attempt, 1 for the first.
        backend: As in ``--grid-backend``.
        grid_id: Its id on the grid.
        phase: How far it has come, as far as this side knows.
        detail: Why it failed.
        state: What the backend said last: a value of ``JobState``, or empty.
        site: Where it runs or ran, empty when not known.
        outputs: Names of what it makes.
        asked: What it asked for: the fields of ``jobspec.Resources``.
        began: When its inputs began to be stored.
        sent: When it was submitted.
        taken: When the backend had taken it.
        running: When it was first seen running.
        ended: When it was first seen to have ended.
        landed: When its end was dealt with: outputs in place, or failure noted.
        report: Fields of ``worker.report.Report``, but ``returned`` is a number; empty if none.
    """

    name: str
    origin: str
    run: str
    rule: str
    wildcards: dict[str, str]
    jobid: str
    attempt: int
    backend: str
    grid_id: str | None
    phase: Phase
    detail: str
    state: str
    site: str
    outputs: tuple[str, ...]
    asked: dict[str, Any]
    began: float | None
    sent: float | None
    taken: float | None
    running: float | None
    ended: float | None
    landed: float | None
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Rule and wildcards, for people."""
        return title(self.rule, self.wildcards.items())

    @property
    def succeeded(self) -> bool:
        """Whether its outputs are in place."""
        return self.phase in (Phase.SUCCEEDED, Phase.LANDED)

    @property
    def work(self) -> tuple[object, ...]:
        """What is to be done: the same for all submissions of a job, also in a later run."""
        return self.rule, tuple(sorted(self.wildcards.items())), self.outputs


class History:
    """Reads the journal of a workflow, also while a run writes it."""

    def __init__(self, folder: Path) -> None:
        """Open the database, for reading only.

        Args:
            folder: Of this package below the working directory.

        Raises:
            GridError: It cannot be read.
        """
        self.path = folder / DATABASE_FILE
        self._copied = contextlib.ExitStack()
        with self._errors():
            try:
                version = self._open(self.path)
            except sqlite3.OperationalError:
                # Readers of a database in write-ahead mode write beside it: where we may not, or
                # there is no room, a copy will do.
                version = self._open(self._copy())
        if not version:
            raise GridError(f"{self.path}: cannot be read: there is no journal in it.")
        if version != SCHEMA_VERSION:
            age = "an older" if version < SCHEMA_VERSION else "a newer"
            way = "the next run here brings it up to date" if version < SCHEMA_VERSION else "update"
            raise GridError(f"{self.path}: written by {age} version of the grid executor; {way}.")

    def _open(self, path: Path) -> int:
        """Open a file, and return the version that it is of."""
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        self._connection.row_factory = sqlite3.Row
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _copy(self) -> Path:
        """Return a copy of the file, with what has not been merged into it."""
        made = tempfile.TemporaryDirectory(prefix="snakemake-grid-")
        folder = Path(self._copied.enter_context(made))
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(source, folder / source.name)
        return folder / self.path.name

    def runs(self) -> list[RunRecord]:
        """Return all runs, the oldest first."""
        return [
            RunRecord(**{**row, "settings": json.loads(row["settings"])})
            for row in self._query("SELECT * FROM runs ORDER BY started")
        ]

    def jobs(self) -> list[JobRecord]:
        """Return all submissions, in their order."""
        return [
            _job(row) for row in self._query("SELECT * FROM jobs ORDER BY sent, length(name), name")
        ]

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._copied.close()

    def _query(self, statement: str) -> list[dict[str, Any]]:
        with self._errors():
            return [dict(row) for row in self._connection.execute(statement)]

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise GridError(f"{self.path}: cannot be read: {error}") from error


def _job(row: dict[str, Any]) -> JobRecord:
    for name in ("changed", "identity", "place", "kept"):
        del row[name]
    row["origin"] = row["origin"] or row["name"]
    row["phase"] = Phase(row["phase"])
    row["outputs"] = tuple(json.loads(row["outputs"]))
    for name in ("wildcards", "asked", "report"):
        row[name] = json.loads(row[name] or "{}")
    return JobRecord(**row)
