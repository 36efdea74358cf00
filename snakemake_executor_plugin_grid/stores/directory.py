"""A store in a folder that submit host and workers both see: ``file:///shared/scratch/me``."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from ..errors import GridError, PermanentError
from ..worker.tarball import copy_hashed
from .base import Store


class DirectoryStore(Store):
    """Blobs as files, all in one folder, named by their digests.

    A file appears under its name when it is complete, so that whoever sees it can read it.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder; it is made by ``check``.

        Args:
            folder: Absolute path.
        """
        self.folder = folder
        self.workspace = folder
        self.url = folder.as_uri()

    def check(self) -> None:
        """Make the folder, and try to write to it.

        Raises:
            GridError: It cannot be written.
        """
        probe = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise PermanentError(
                f"store {self.url}: cannot be written ({error.strerror}); choose another folder "
                "by --grid-store."
            ) from error

    def has(self, digest: str) -> bool:
        """Return whether the blob is there."""
        return self._path(digest).exists()

    def put(self, digest: str, path: Path) -> None:
        """Rename a file of the folder to its digest."""
        path.replace(self._path(digest))

    def put_file(self, path: Path) -> tuple[int, str]:
        """Copy a file, read once, and name the copy by what was read."""
        part = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            size, digest = copy_hashed(path, part)
            part.replace(self._path(digest))
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        return size, digest

    def fetch(self, digest: str) -> Path:
        """Return the blob's own file."""
        path = self._path(digest)
        if not path.exists():
            raise GridError(f"store {self.url}: has no {digest}")
        return path

    def locate(self, digest: str) -> str:
        """Return a ``file://`` URL."""
        return self._path(digest).as_uri()

    def remove(self, digests: Iterable[str]) -> None:
        """Unlink the files."""
        for digest in digests:
            with contextlib.suppress(OSError):
                os.unlink(self._path(digest))  # noqa: PTH108 - no check for its kind first

    def _path(self, digest: str) -> Path:
        if not (len(digest) == 64 and digest.isalnum()):
            raise GridError(f"{digest!r} is no SHA-256")
        return self.folder / digest
