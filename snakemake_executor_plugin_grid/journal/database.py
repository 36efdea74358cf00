"""The SQLite file under ``.snakemake/grid``. Each module that uses it makes its own tables."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model.errors import DiskFullError, GridError
from .migrations import SCHEMA_VERSION, upgrade

FOLDER = Path(".snakemake") / "grid"
"""Folder of this package, below the working directory."""
DATABASE_FILE = "grid.sqlite"
_DISK_ERRORS = ("SQLITE_FULL", "SQLITE_IOERR")


class Database:
    """One connection, shared by the threads of the process.

    A change is on disk when the call that makes it returns. Even a power cut loses nothing (SQLite
    documentation, ``synchronous=FULL`` in write-ahead mode).
    """

    def __init__(self, path: Path) -> None:
        """Open the file; make it if it does not exist, upgrade it if an older version made it.

        Raises:
            GridError: It cannot be opened, is damaged, or a newer version made it.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            if upgrade(self._connection) > SCHEMA_VERSION:
                raise GridError(
                    f"{path}: written by a newer version of the grid executor; upgrade the "
                    "plugin, or remove the file when no grid job of this workflow is running."
                )
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
            # SQLite reports an exceeded quota as an I/O error.
            name = getattr(error, "sqlite_errorname", "")
            kind = DiskFullError if name.startswith(_DISK_ERRORS) else GridError
            raise kind(f"{self.path}: {error}") from error

    def create(self, schema: str) -> None:
        """Make the tables and indexes of a schema that do not exist yet.

        Args:
            schema: Statements ``CREATE … IF NOT EXISTS``.
        """
        with self._transaction() as connection:
            connection.executescript(schema)

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

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(folder: Path) -> Database:
    """Open the database in the folder of this package.

    Raises:
        GridError: As `Database` does.
    """
    return Database(folder / DATABASE_FILE)
