"""Upgrades journals that older versions of this package wrote, in place."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from functools import partial

SCHEMA_VERSION = 6
_TEXT, _TIME = "TEXT NOT NULL DEFAULT ''", "REAL"
_ADDED_IN_2: dict[str, dict[str, str]] = {
    "jobs": {
        "origin": _TEXT,
        "place": _TEXT,
        "kept": "INTEGER NOT NULL DEFAULT 0",
        "identity": _TEXT,
        "outputs": "TEXT NOT NULL DEFAULT '[]'",
        "asked": "TEXT NOT NULL DEFAULT '{}'",
        "state": _TEXT,
        "site": _TEXT,
        **dict.fromkeys(("began", "sent", "taken", "running", "ended", "landed"), _TIME),
    },
    "runs": {"trouble": _TEXT, "troubled": _TIME},
}
_ADDED_IN_4 = {table: {"used": "REAL NOT NULL DEFAULT 0"} for table in ("files", "bundles")}
_ADDED_IN_5 = {"jobs": {"decision": _TEXT}}
_ADDED_IN_6 = {"jobs": {"grid_outputs": "TEXT NOT NULL DEFAULT '[]'"}}
_RENAMED_IN_3 = {
    "jobs": {
        "place": "endpoint",
        "kept": "needs_cleanup",
        "asked": "requested",
        "taken": "accepted",
        "landed": "finished",
    },
    "runs": {"spared_bytes": "reused_bytes", "troubled": "trouble_since"},
}


def upgrade(connection: sqlite3.Connection) -> int:
    """Upgrade a file of an older version, and mark a new file as one of this version.

    All of it is one transaction: a process that is killed meanwhile leaves the file as it was.

    Returns:
        The version of the file, which is higher than `SCHEMA_VERSION` if it is not supported.
    """
    if (version := version_of(connection)) >= SCHEMA_VERSION:
        return version
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if version_of(connection) < SCHEMA_VERSION:  # no other process was faster
            _add_columns(connection, _ADDED_IN_2)
            _rename(connection)
            _add_columns(connection, _ADDED_IN_4)
            _add_columns(connection, _ADDED_IN_5)
            _add_columns(connection, _ADDED_IN_6)
            for table in filter(partial(_columns, connection), _ADDED_IN_4):
                connection.execute(f"UPDATE {table} SET used=?", (time.time(),))  # noqa: S608
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    return SCHEMA_VERSION


def _add_columns(connection: sqlite3.Connection, added: Mapping[str, Mapping[str, str]]) -> None:
    for table, columns in added.items():
        present = _columns(connection, table)
        for name, kind in columns.items() if present else ():
            if name not in present:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def _rename(connection: sqlite3.Connection) -> None:
    for table, names in _RENAMED_IN_3.items():
        present = _columns(connection, table)
        for old, new in names.items():
            if old in present:
                connection.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
        if table == "jobs" and present:
            connection.execute("UPDATE jobs SET phase='outputs installed' WHERE phase='landed'")
    if _columns(connection, "aside"):
        connection.execute("ALTER TABLE aside RENAME TO backups")


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file, 0 for a new one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table, none if there is no such table."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {name for (name,) in rows}
