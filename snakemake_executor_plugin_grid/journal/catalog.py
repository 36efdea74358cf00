"""Remembers digests and where they are stored: unchanged files are not read or stored again."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .database import Database


class Catalog:
    """The ``files``, ``bundles``, ``stores`` and ``stored`` tables."""

    def __init__(self, database: Database) -> None:
        """Use a database."""
        self._database = database

    def digest(self, path: str, stat: os.stat_result) -> str | None:
        """Return the SHA-256 of a file that has not changed since it was noted, else None.

        Args:
            path: Absolute path.
            stat: Of the file now: size, time and inode have to be as they were.
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
        """Return digest and size of the tarball that was packed from the same files, or None."""
        rows = self._database.query(
            "SELECT digest, size FROM bundles WHERE fingerprint=?", (fingerprint,)
        )
        return (str(rows[0][0]), int(rows[0][1])) if rows else None

    def note_bundle(self, fingerprint: str, digest: str, size: int) -> None:
        """Remember a tarball by what it was packed from."""
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

    def note_locations(self, blobs: Iterable[tuple[str, str]]) -> None:
        """Remember what this workflow puts into remote stores.

        Args:
            blobs: Digest and URL; an empty digest for what is of no use any more.
        """
        self._database.change(
            "INSERT OR REPLACE INTO stored VALUES (?, ?)", [(url, digest) for digest, url in blobs]
        )

    def locations(self) -> list[str]:
        """Return the URLs of all that this workflow has put into remote stores."""
        return [str(url) for (url,) in self._database.query("SELECT url FROM stored")]

    def forget_locations(self, urls: Iterable[str]) -> None:
        """Note that these are gone."""
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
