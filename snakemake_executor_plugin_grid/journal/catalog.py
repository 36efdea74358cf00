"""Remembers digests and locations, so that no file is hashed or uploaded twice."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .database import Database
from .write_queue import Write

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    digest TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundles (
    fingerprint TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL
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
"""


class Catalog:
    """The ``files``, ``bundles``, ``stores`` and ``stored`` tables."""

    def __init__(self, database: Database) -> None:
        """Keep them in a database."""
        database.create(_SCHEMA)
        self._database = database

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
        return str(rows[0][0]) if rows else None

    def note(self, files: Iterable[tuple[str, os.stat_result, str]]) -> None:
        """Remember the digests of files: path, stat, SHA-256."""
        self._database.change(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            [
                (path, stat.st_size, stat.st_mtime_ns, stat.st_ino, digest)
                for path, stat, digest in files
            ],
        )

    def bundle(self, fingerprint: str) -> tuple[str, int] | None:
        """Return digest and size of the tarball of a set of files, None if it is not known."""
        rows = self._database.query(
            "SELECT digest, size FROM bundles WHERE fingerprint=?", (fingerprint,)
        )
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def note_bundle(self, fingerprint: str, digest: str, size: int) -> None:
        """Remember the tarball of a set of files."""
        self._database.change(
            "INSERT OR REPLACE INTO bundles VALUES (?, ?, ?)", [(fingerprint, digest, size)]
        )

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

    def note_store(self, url: str, element: str) -> None:
        """Remember a remote store that this workflow uses, and its storage element."""
        self._database.change("INSERT OR REPLACE INTO stores VALUES (?, ?)", [(url, element)])

    def stores(self) -> list[str]:
        """Return the URLs of the remote stores that this workflow has used."""
        return [str(url) for (url,) in self._database.query("SELECT DISTINCT url FROM stores")]

    def elements(self) -> list[str]:
        """Return the storage elements that this workflow has used."""
        rows = self._database.query("SELECT DISTINCT element FROM stores WHERE element<>''")
        return [str(element) for (element,) in rows]
