"""The SQLite file under ``.snakemake/grid``. Each module that uses it makes its own tables."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..model.errors import DiskFullError, GridError
from .file_system import has_locks, is_local
from .migrations import SCHEMA_VERSION, upgrade, version_of
from .write_queue import Change, Write, WriteQueue

FOLDER = Path(".snakemake") / "grid"
"""Folder of this package, below the working directory."""
DATABASE_FILE = "grid.sqlite"
_WAL = b"\x02\x02"
_TIMEOUT = 60.0
_NOT_NOW = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY")


class Database:
    """One connection, shared by the threads of the process; one thread of its own writes.

    Even a power cut loses nothing that was waited for (SQLite documentation: ``synchronous=FULL``).

    Attributes:
        path: The file.
        guest: Whether a run may be using it as well.
    """

    def __init__(self, path: Path, *, guest: bool = False) -> None:
        """Open the file; make it if it does not exist, upgrade it if an older version made it.

        Args:
            path: The file.
            guest: Whether the caller has not locked the folder, so that a run may be using the
                file: then it is neither made nor upgraded.

        Raises:
            GridError: It cannot be opened, is damaged, or a newer version made it.
        """
        self.path = path
        self.guest = guest
        self._lock = threading.Lock()
        try:
            if not guest:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = connect(path, "rw" if guest else "rwc")
            if not guest:
                set_journal_mode(self._connection, path)
            self._connection.execute("PRAGMA synchronous=FULL")
            version = version_of(self._connection) if guest else upgrade(self._connection)
        except (sqlite3.OperationalError, OSError) as error:
            raise GridError(f"{path}: cannot be opened: {error}") from error
        except sqlite3.Error as error:
            raise GridError(
                f"{path}: is damaged: {error}; remove it when no grid job of this workflow is "
                "running."
            ) from error
        if version < SCHEMA_VERSION:
            raise GridError(
                f"{path}: written by an older version of the grid executor; the next run here "
                "upgrades it."
            )
        if version > SCHEMA_VERSION:
            raise GridError(
                f"{path}: written by a newer version of the grid executor; upgrade the "
                "plugin, or remove the file when no grid job of this workflow is running."
            )
        self._queue = WriteQueue(self._commit)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._connection:
                yield self._connection
        except sqlite3.Error as error:
            # SQLite reports an exceeded quota as an I/O error.
            name = getattr(error, "sqlite_errorname", "")
            kind = DiskFullError if name.startswith(_NOT_NOW) else GridError
            raise kind(f"{self.path}: {error}") from error

    def _commit(self, changes: Sequence[Change]) -> None:
        with self._transaction() as connection:
            for change in changes:
                connection.executemany(change.statement, change.rows)

    def create(self, schema: str) -> None:
        """Make the tables and indexes of a schema that do not exist yet.

        Args:
            schema: Statements ``CREATE … IF NOT EXISTS``.
        """
        with self._transaction() as connection:
            connection.executescript(schema)

    def write(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> Write:
        """Run a statement for each row, all or none, after all earlier changes; returns at once."""
        return self._queue.put(Change(statement, list(rows)))

    def change(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Do the same as ``write``, and block until it is on disk."""
        self.write(statement, rows).wait()

    def change_together(self, changes: Sequence[tuple[str, Sequence[tuple[Any, ...]]]]) -> None:
        """Run several statements, each for its rows, all or none; blocks until that is on disk."""
        self._queue.drain()
        self._commit([Change(statement, rows) for statement, rows in changes])

    def compact(self) -> None:
        """Give the space of removed rows back to the file system."""
        self._queue.drain()
        with self._transaction() as connection:
            connection.execute("VACUUM")

    def query(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return all rows of a query, as tuples; blocks until earlier changes are written."""
        self._queue.drain()
        return self.glance(statement, values)

    def glance(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return the same as ``query``, but perhaps without changes that are not written yet."""
        with self._transaction() as connection:
            return connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file, once all changes are written."""
        self._queue.close()
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_database(folder: Path, *, guest: bool = False) -> Database:
    """Open the database in the folder of this package; arguments and errors as of `Database`."""
    return Database(folder / DATABASE_FILE, guest=guest)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file of SQLite, without locks where the file system has none.

    There, ``journal.lock`` keeps others from writing, and what they read may be half written.

    Args:
        path: The file.
        mode: ``ro``, ``rw``, or ``rwc``, as in SQLite's URIs.
    """
    unlocked = "" if is_local(path.parent) or has_locks(path.parent) else "&vfs=unix-none"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}{unlocked}",
        timeout=_TIMEOUT,
        check_same_thread=False,
        uri=True,
    )


def needs_shared_memory(path: Path) -> bool:
    """Return whether a file is in write-ahead mode (SQLite documentation, "Database Header")."""
    try:
        with path.open("rb") as stream:
            return stream.read(20)[18:] == _WAL
    except FileNotFoundError:
        return False


def set_journal_mode(connection: sqlite3.Connection, path: Path) -> None:
    """Use write-ahead mode on a disk of this host only.

    Elsewhere readers on other hosts would see nothing, or garbage. The other mode needs no files
    but ``-journal``, and readers make none. The file is not locked between two changes
    (``locking_mode=NORMAL``), so that ``snakemake-grid status`` can read it.
    """
    if is_local(path.parent):
        connection.execute("PRAGMA journal_mode=WAL")
        return
    if needs_shared_memory(path):  # alone, SQLite can leave that mode without shared memory
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    (mode,) = connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
    if mode != "truncate":
        raise sqlite3.OperationalError(f"its journal mode is still {mode}: another process has it")
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # which ends the lock
