"""Remembers digests and locations, so that no file is hashed or uploaded twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from .database import Database
from .write_queue import Write

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest TEXT NOT NULL,
    used REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundles (
    fingerprint TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    used REAL NOT NULL DEFAULT 0
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
CREATE TABLE IF NOT EXISTS remade (
    name TEXT PRIMARY KEY,
    created REAL NOT NULL,
    made REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stored_digest ON stored (digest);
"""
_KEPT = 90 * 24 * 3600.0
"""Seconds after its last use at which a digest is forgotten: the file is then hashed once more."""


class Catalog:
    """The ``files``, ``bundles``, ``stores``, ``stored`` and ``remade`` tables."""

    def __init__(self, database: Database) -> None:
        """Keep them in a database."""
        database.create(_SCHEMA)
        self._database = database
        self._used: dict[str, set[str]] = {"files": set(), "bundles": set()}

    def digest(self, path: str, stat: os.stat_result) -> str | None:
        """Return the SHA-256 of a file, None if it is not known or the file has changed since.

        Args:
            path: Absolute path.
            stat: Of the file now; size, time and inode have to be the noted ones.
        """
        rows = self._database.query(
            "SELECT digest FROM files WHERE path=? AND size=? AND mtime_ns=? AND inode=?",
            (path, stat.st_size, stat.st_mtime_ns, stat.st_ino),
        )
        if rows:
            self._used["files"].add(path)
        return str(rows[0][0]) if rows else None

    def note(self, files: Iterable[tuple[str, os.stat_result, str]]) -> None:
        """Remember the digests of files: path, stat, SHA-256."""
        rows = [
            (path, stat.st_size, stat.st_mtime_ns, stat.st_ino, digest, time.time())
            for path, stat, digest in files
        ]
        if rows:
            self._database.change(
                "INSERT OR REPLACE INTO files (path, size, mtime_ns, inode, digest, used) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def bundle(self, fingerprint: str) -> tuple[str, int] | None:
        """Return digest and size of the tarball of a set of files, None if it is not known."""
        rows = self._database.glance(
            "SELECT digest, size FROM bundles WHERE fingerprint=?", (fingerprint,)
        )
        if rows:
            self._used["bundles"].add(fingerprint)
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def note_bundle(self, fingerprint: str, digest: str, size: int) -> Write:
        """Remember the tarball of a set of files; if it is lost, they are packed once more."""
        return self._database.write(
            "INSERT OR REPLACE INTO bundles (fingerprint, digest, size, used) VALUES (?, ?, ?, ?)",
            [(fingerprint, digest, size, time.time())],
        )

    def prune(self) -> None:
        """Forget the digests of files and tarballs that no run has used for 90 days.

        Called at the end of a run. Where files lie remotely is kept: ``clean`` needs it.
        """
        now = time.time()
        for table, key in (("files", "path"), ("bundles", "fingerprint")):
            _ = self._database.write(
                f"UPDATE {table} SET used=? WHERE {key}=?",  # noqa: S608 - our own names
                # A copy: threads that upload may add to it.
                [(now, used) for used in frozenset(self._used[table])],
            )
            self._database.change(f"DELETE FROM {table} WHERE used<?", [(now - _KEPT,)])  # noqa: S608

    def location(self, digest: str, store: str = "") -> str | None:
        """Return the URL under which this workflow has stored a blob remotely, or None.

        Args:
            digest: Of the blob.
            store: What the URL begins with.
        """
        rows = self._database.query(
            "SELECT url FROM stored WHERE digest=? AND substr(url, 1, ?)=?",
            (digest, len(store), store),
        )
        return str(rows[0][0]) if rows else None

    def note_locations(self, blobs: Iterable[tuple[str, str]]) -> Write:
        """Remember what this workflow puts into remote stores; wait for it before the upload.

        Args:
            blobs: Digest and URL; the digest is empty for files that are no longer useful.
        """
        return self._database.write(
            "INSERT OR REPLACE INTO stored VALUES (?, ?)", [(url, digest) for digest, url in blobs]
        )

    def locations(self) -> list[str]:
        """Return the URLs of all files that this workflow has put into remote stores."""
        return [str(url) for (url,) in self._database.query("SELECT url FROM stored")]

    def forget_locations(self, urls: Iterable[str]) -> None:
        """Forget files that are gone."""
        self._database.change("DELETE FROM stored WHERE url=?", [(url,) for url in urls])

    def note_remade(self, name: str, created: float, made: float) -> None:
        """Remember when a file on the grid was made again with equal content.

        Args:
            name: Of the file.
            created: Its time in the file catalog, which stays.
            made: When it was made last.
        """
        self._database.change(
            "INSERT OR REPLACE INTO remade VALUES (?, ?, ?)", [(name, created, made)]
        )

    def remade(self) -> dict[str, tuple[float, float]]:
        """Return what `note_remade` was told, by name."""
        rows = self._database.query("SELECT name, created, made FROM remade")
        return {str(name): (float(created), float(made)) for name, created, made in rows}

    def note_store(self, url: str, element: str) -> None:
        """Remember a remote store that this workflow uses, and its storage element."""
        self._database.change("INSERT OR REPLACE INTO stores VALUES (?, ?)", [(url, element)])

    def stores(self) -> list[str]:
        """Return the URLs of the remote stores that this workflow has used."""
        return [str(url) for (url,) in self._database.query("SELECT DISTINCT url FROM stores")]

    def places(self) -> list[tuple[str, str]]:
        """Return the URL and the storage element of each remote store that was used."""
        rows = self._database.query("SELECT url, element FROM stores ORDER BY url, element")
        return [(str(url), str(element)) for url, element in rows]

    def elements(self, store: str) -> list[str]:
        """Return the storage elements that this workflow has used.

        Args:
            store: What the URLs of the stores begin with.
        """
        rows = self._database.query(
            "SELECT DISTINCT element FROM stores WHERE element<>'' AND substr(url, 1, ?)=? "
            "ORDER BY element",
            (len(store), store),
        )
        return [str(element) for (element,) in rows]
