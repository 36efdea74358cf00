"""The SQLite file under ``.snakemake/grid``: the journal and the catalog live in it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model.errors import DiskFullError, GridError

FOLDER = Path(".snakemake") / "grid"
"""Of this package, below the working directory."""
DATABASE_FILE = "grid.sqlite"
SCHEMA_VERSION = 2
_ADDED = {
    "origin": "TEXT NOT NULL DEFAULT ''",
    "place": "TEXT NOT NULL DEFAULT ''",
    "kept": "INTEGER NOT NULL DEFAULT 0",
    "identity": "TEXT NOT NULL DEFAULT ''",
    "outputs": "TEXT NOT NULL DEFAULT '[]'",
    "asked": "TEXT NOT NULL DEFAULT '{}'",
    "state": "TEXT NOT NULL DEFAULT ''",
    "site": "TEXT NOT NULL DEFAULT ''",
    **dict.fromkeys(("began", "sent", "taken", "running", "ended", "landed"), "REAL"),
}
"""Columns of ``jobs`` that version 1 did not have."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    name TEXT PRIMARY KEY,
    run TEXT NOT NULL,
    rule TEXT NOT NULL,
    wildcards TEXT NOT NULL,
    jobid TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    backend TEXT NOT NULL,
    grid_id TEXT,
    phase TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    changed REAL NOT NULL,
    report TEXT,
    {", ".join(map(" ".join, _ADDED.items()))}
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_phase ON jobs (phase);
CREATE TABLE IF NOT EXISTS runs (
    name TEXT PRIMARY KEY,
    backend TEXT NOT NULL,
    store TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    settings TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    end TEXT NOT NULL DEFAULT '',
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    spared_bytes INTEGER NOT NULL DEFAULT 0,
    trouble TEXT NOT NULL DEFAULT '',
    troubled REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aside (
    path TEXT PRIMARY KEY,
    copy TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stores (
    url TEXT NOT NULL,
    element TEXT NOT NULL,
    PRIMARY KEY (url, element)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stored (
    url TEXT PRIMARY KEY,
    digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stored_digest ON stored (digest);
CREATE TABLE IF NOT EXISTS tasks (
    name TEXT PRIMARY KEY,
    attempts INTEGER NOT NULL,
    grid_id TEXT,
    private INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_grid_id ON tasks (grid_id);
CREATE TABLE IF NOT EXISTS task_jobs (
    job TEXT PRIMARY KEY,
    task TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_jobs_task ON task_jobs (task);
CREATE TABLE IF NOT EXISTS bundles (
    fingerprint TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL
) WITHOUT ROWID;
"""
_OF_DISK = ("SQLITE_FULL", "SQLITE_IOERR")


class Database:
    """One connection, shared by the threads of the process.

    A commit is on the disk before anything outside is done that it announces: also a power cut
    loses nothing (SQLite documentation, ``synchronous=FULL`` in write-ahead mode).
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if need be.

        Raises:
            GridError: It cannot be opened or comes from a newer version.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise GridError(
                    f"{path}: written by a newer version of the grid executor; update it, or "
                    "remove the file when no grid job of this workflow is running."
                )
            self._connection.executescript(_SCHEMA)
            # Also after a kill between two of these, each of which is on the disk at once.
            rows = self._connection.execute("SELECT name FROM pragma_table_info('jobs')")
            there = {name for (name,) in rows}
            for name, kind in _ADDED.items():
                if name not in there:
                    self._connection.execute(f"ALTER TABLE jobs ADD COLUMN {name} {kind}")
            self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            self._connection.commit()
        except (sqlite3.OperationalError, OSError) as error:
            raise GridError(f"{path}: cannot be opened: {error}") from error
        except sqlite3.Error as error:
            raise GridError(
                f"{path}: is damaged: {error}; remove it when no grid job of this workflow is "
                "running."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.Error as error:
            # A full quota comes as an I/O error of the log.
            name = getattr(error, "sqlite_errorname", "")
            kind = DiskFullError if name.startswith(_OF_DISK) else GridError
            raise kind(f"{self.path}: {error}") from error

    def change(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement for each row, in one transaction."""
        with self._transaction() as connection:
            connection.executemany(statement, rows)

    def query(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return all rows of a query, as tuples."""
        with self._transaction() as connection:
            return connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
