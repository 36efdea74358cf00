"""Small blobs in a spool, which the backend carries; everything else in another store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .base import Limits, Store
from .spool import SpoolStore


class SplitStore(Store):
    """Two stores as one: what fits into the spool is there, and what jobs bring is in the other."""

    def __init__(self, spool: SpoolStore, main: Store) -> None:
        """Use two stores.

        Args:
            spool: For small blobs.
            main: For all else.
        """
        self.url = main.url
        self.workspace = spool.workspace
        self.secret = main.secret
        self._spool = spool
        self._main = main

    @property
    def limits(self) -> Limits:
        """Of the store to which jobs deliver."""
        return self._main.limits

    def check(self) -> None:
        """Check both."""
        self._spool.check()
        self._main.check()

    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob is where one of its size would be."""
        return (self._spool if self._spool.fits(size) else self._main).has(digest, size)

    def put(self, digest: str, path: Path) -> None:
        """Take a file of the workspace."""
        if self._spool.fits(path.stat().st_size):
            self._spool.put(digest, path)
            return
        try:
            self._main.put_file(path)  # it may be on another file system than the store
        finally:
            path.unlink()

    def put_file(self, path: Path) -> tuple[int, str]:
        """Store a copy of a user's file."""
        return (self._spool if self._spool.fits(path.stat().st_size) else self._main).put_file(path)

    def locate(self, digest: str) -> str:
        """Return where workers find the blob: nothing if the backend carries it."""
        if self._spool.path(digest).exists():
            return self._spool.locate(digest)
        return self._main.locate(digest)

    def inbox(self, job: str) -> str:
        """Return the folder of a job in the other store."""
        return self._main.inbox(job)

    def delivered(self, job: str, digest: str) -> Path:
        """Return what a job delivered there."""
        return self._main.delivered(job, digest)

    def reports(self, job: str) -> str:
        """Return where report and log go there."""
        return self._main.reports(job)

    def fetch_file(self, job: str, leaf: str, target: Path) -> bool:
        """Copy what the worker left there."""
        return self._main.fetch_file(job, leaf, target)

    def post(self, name: str, path: Path) -> str:
        """Store a small file for workers there: the backend carries only what is public."""
        return self._main.post(name, path)

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove them."""
        self._main.withdraw(names)

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Count blobs that a job delivered among those of the other store."""
        self._main.keep(job, digests)

    def drop(self, job: str) -> None:
        """Remove what a job delivered."""
        self._main.drop(job)
