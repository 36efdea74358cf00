"""Reads what the journal says of runs and jobs, for the commands; changes nothing."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..model.errors import GridError
from .database import DATABASE_FILE
from .migrations import SCHEMA_VERSION
from .records import JOB_COLUMNS, RUN_COLUMNS, JobRecord, RunRecord


class JournalReader:
    """Reads the journal of a workflow, also while a run writes it."""

    def __init__(self, folder: Path) -> None:
        """Open the database for reading only.

        Args:
            folder: Folder of this package, below the working directory.

        Raises:
            GridError: It cannot be read.
        """
        self.path = folder / DATABASE_FILE
        self._copied = contextlib.ExitStack()
        with self._errors():
            try:
                version = self._open(self.path)
            except sqlite3.OperationalError:
                # A reader of a database in write-ahead mode writes files beside it. Where that is
                # not possible, read a copy.
                version = self._open(self._copy())
        if not version:
            raise GridError(f"{self.path}: cannot be read: there is no journal in it.")
        if version != SCHEMA_VERSION:
            age, way = "a newer", "upgrade the plugin"
            if version < SCHEMA_VERSION:
                age, way = "an older", "the next run here upgrades it"
            raise GridError(f"{self.path}: written by {age} version of the grid executor; {way}.")

    def _open(self, path: Path) -> int:
        """Open a file, and return the version of its schema."""
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _copy(self) -> Path:
        """Return a copy of the file, with its write-ahead log."""
        made = tempfile.TemporaryDirectory(prefix="snakemake-grid-")
        folder = Path(self._copied.enter_context(made))
        for suffix in ("", "-wal"):
            source = self.path.with_name(self.path.name + suffix)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(source, folder / source.name)
        return folder / self.path.name

    def runs(self) -> list[RunRecord]:
        """Return all runs, the oldest first."""
        return list(map(RunRecord.from_row, self._rows("runs", RUN_COLUMNS, "started")))

    def jobs(self) -> list[JobRecord]:
        """Return all submissions, the oldest first."""
        order = "sent, length(name), name"
        return list(map(JobRecord.from_row, self._rows("jobs", JOB_COLUMNS, order)))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
        self._copied.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, table: str, columns: Sequence[str], order: str) -> list[Sequence[Any]]:
        """Return the rows of a table, which a run that has just begun may not have made yet."""
        with self._errors():
            made = "SELECT 1 FROM sqlite_master WHERE name=?"
            if not self._connection.execute(made, (table,)).fetchone():
                return []
            statement = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"  # noqa: S608
            return self._connection.execute(statement).fetchall()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise GridError(f"{self.path}: cannot be read: {error}") from error
