"""A local folder of small blobs, which the backend sends to workers in its sandboxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..console.format import file_size
from ..model.errors import GridError
from .base import InputStore, Limits, ResultStore
from .directory import BlobFolder

RESERVE = 1 << 18
"""Bytes of a sandbox that the description of the jobs, or the report, may take."""
_LOG = 1 << 20


class SpoolStore(BlobFolder, ResultStore):
    """Blobs in a local folder, each small enough for a sandbox.

    A worker finds them beside its ``job.json``, and leaves its outputs beside its report.
    """

    by_system = True

    def __init__(self, folder: Path, limit: Callable[[], int], hint: str) -> None:
        """Write nothing yet.

        Args:
            folder: Absolute path.
            limit: Returns how many bytes a sandbox may have.
            hint: What the user can do when a file is larger.
        """
        super().__init__(folder)
        self._limit = limit
        self._hint = hint

    @property
    def limits(self) -> Limits:
        """What fits into an output sandbox beside the report: the log, and all outputs together."""
        room = self._limit() - RESERVE
        log = min(room // 4, _LOG)
        return Limits(outputs=room - log, log=log, hint=self._hint)

    def fits(self, size: int) -> bool:
        """Return whether a sandbox has room for a blob."""
        return size <= self._limit() - RESERVE

    def path(self, digest: str) -> Path:
        """Return the file of a blob, in one of 256 folders: each job may have blobs of its own."""
        return super().path(digest).parent / digest[:2] / digest

    def put(self, digest: str, path: Path) -> None:
        """Rename a file of the folder to its digest.

        Raises:
            GridError: It is too large.
        """
        size = path.stat().st_size
        if not self.fits(size):
            path.unlink()
            raise self._too_large("the small inputs of a job", size)
        super().put(digest, path)

    def put_file(self, path: Path) -> tuple[int, str]:
        """Copy a file.

        Raises:
            GridError: It is too large.
        """
        size = path.stat().st_size
        if not self.fits(size):
            raise self._too_large(f"input {path}", size)
        return super().put_file(path)

    def locate(self, digest: str) -> str:
        """Return nothing: the blob lies beside the job."""
        return ""

    def inbox(self, job: str) -> str:
        """Return the scheme of the output sandbox."""
        return "sandbox:"

    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Refuse: the backend puts outputs beside the report.

        Raises:
            GridError: Always.
        """
        raise GridError(f"the output sandbox of the job does not have {digest}")

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Do nothing: no output lies here."""

    def drop(self, job: str) -> None:
        """Do nothing: no output lies here."""

    def _too_large(self, what: str, size: int) -> GridError:
        return GridError(
            f"{what}: {file_size(size)} do not fit into an input sandbox "
            f"({file_size(self._limit())}); {self._hint}"
        )


class SpooledInputs(InputStore):
    """Small blobs in a spool, larger ones in another store."""

    def __init__(self, spool: SpoolStore, store: InputStore) -> None:
        self.url = store.url
        self.workspace = spool.workspace
        self.secret = store.secret
        self._spool = spool
        self._store = store

    def check(self) -> None:
        """Check the spool; the other store is checked as the one that takes the results."""
        self._spool.check()

    def has(self, digest: str, size: int) -> bool:
        """Ask the store that holds blobs of this size."""
        return self._of(size).has(digest, size)

    def put(self, digest: str, path: Path) -> None:
        """Move a file of the workspace into one of the stores."""
        if self._spool.fits(path.stat().st_size):
            self._spool.put(digest, path)
            return
        try:
            self._store.put_file(path)  # which may be on another file system
        finally:
            path.unlink()

    def put_file(self, path: Path) -> tuple[int, str]:
        """Store a copy of a user's file."""
        return self._of(path.stat().st_size).put_file(path)

    def locate(self, digest: str) -> str:
        """Return the URL of a blob; empty if it is in the spool."""
        if self._spool.path(digest).exists():
            return self._spool.locate(digest)
        return self._store.locate(digest)

    def _of(self, size: int) -> InputStore:
        return self._spool if self._spool.fits(size) else self._store
