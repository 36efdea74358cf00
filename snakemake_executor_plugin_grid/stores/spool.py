"""A folder from which a backend brings small blobs to the worker by its own way: its sandboxes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..model.errors import GridError
from .base import Limits, Store
from .directory import DirectoryStore

RESERVE = 1 << 18
"""Bytes of a sandbox that the description of the jobs, or the report, may take."""
_LOG = 1 << 20


class SpoolStore(DirectoryStore):
    """Blobs in a local folder, each small enough for a sandbox.

    A worker finds them beside its ``job.json``, and leaves its own beside its report.
    """

    def __init__(self, folder: Path, limit: Callable[[], int], hint: str) -> None:
        """Use a folder.

        Args:
            folder: Absolute path.
            limit: Returns how many bytes a sandbox may have.
            hint: What the user can do when something is larger.
        """
        super().__init__(folder)
        self._limit = limit
        self._hint = hint

    @property
    def limits(self) -> Limits:
        """What fits into an output sandbox beside the report: the log, and all outputs together."""
        room = self._limit() - RESERVE
        log = min(room // 4, _LOG)
        return Limits(delivered=room - log, log=log, hint=self._hint)

    def fits(self, size: int) -> bool:
        """Return whether a blob may travel in a sandbox."""
        return size <= self._limit() - RESERVE

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self._path(digest)

    def put(self, digest: str, path: Path) -> None:
        """Take a file of the folder.

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
        """Return the way by which small outputs come back."""
        return "sandbox:"

    def brought(self, job: str, leaf: str, target: Path) -> bool:
        """Refuse: workers do not reach the folder."""
        return Store.brought(self, job, leaf, target)

    def post(self, name: str, path: Path) -> str:
        """Refuse: workers do not reach the folder."""
        return Store.post(self, name, path)

    def withdraw(self, names: Iterable[str]) -> None:
        """Refuse: workers do not reach the folder."""
        Store.withdraw(self, names)

    def _too_large(self, what: str, size: int) -> GridError:
        return GridError(
            f"{what}: {size / 1e6:.1f} MB do not fit into an input sandbox "
            f"({self._limit() / 1e6:.1f} MB); {self._hint}"
        )
