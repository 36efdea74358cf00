"""A store in a folder that submit host and workers both see: ``file:///shared/scratch/me``."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from ..console.progress import size_of, transfer
from ..journal.catalog import Catalog
from ..model.errors import GridError, PermanentError, TransientError
from ..model.untrusted import (
    UntrustedError,
    check_size,
    checked_digest,
    checked_name,
    copy_untrusted,
    path_below,
)
from ..worker.archive.files import copy_hashed
from .base import InputStore, Store


class BlobFolder(InputStore):
    """Blobs as files in one folder, named by their digests.

    A file gets its name when it is complete, so that readers never see part of it.
    """

    def __init__(self, folder: Path, catalog: Catalog | None = None) -> None:
        """Write nothing yet; ``check`` makes the folder.

        Args:
            folder: Absolute path.
            catalog: Remembers that it was used: if it is missing later, it is not made again.
        """
        self._catalog = catalog
        self.folder = folder
        self.workspace = folder
        self.url = folder.as_uri()

    def check(self) -> None:
        """Make the folder, and try to write to it.

        Raises:
            GridError: It cannot be written.
        """
        probe = self.folder / f".{secrets.token_hex(8)}.part"
        catalog = self._catalog
        try:
            if catalog is not None and self.url in catalog.stores() and not self.folder.is_dir():
                raise PermanentError(
                    f"store {self.url}: an earlier run used it, and now it is missing; is its file "
                    "system mounted? If you removed it on purpose, make an empty folder."
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise PermanentError(
                f"store {self.url}: cannot be written ({error.strerror}); choose another folder "
                "by --grid-store."
            ) from error
        if catalog is not None:
            catalog.note_store(self.url, "")

    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob exists as a file of this size."""
        try:
            status = self.path(digest).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def put(self, digest: str, path: Path) -> None:
        """Rename a file of the folder to its digest."""
        self._place(path, digest)

    def put_file(self, path: Path) -> tuple[int, str]:
        """Copy a file, read once, and name the copy by what was read."""
        part = self.folder / f".{secrets.token_hex(8)}.part"
        try:
            with transfer(path.name, path.stat().st_size, up=True, store=self.url) as moving:
                moving.watch(size_of(part))
                size, digest = copy_hashed(path, part)
            self._place(part, digest)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        return size, digest

    def _place(self, part: Path, digest: str) -> None:
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True)
        part.replace(target)

    def locate(self, digest: str) -> str:
        """Return a ``file://`` URL."""
        return self.path(digest).as_uri()

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return path_below(self.folder, checked_digest(digest))


class DirectoryStore(BlobFolder, Store):
    """A folder for all files: each job delivers into a folder below it."""

    def inbox(self, job: str) -> str:
        """Return the URL of a folder, which the worker makes."""
        return self._inbox(job).as_uri()

    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Return the delivered file itself."""
        # The second: kept by a run that died before it noted this.
        for path in (path_below(self._inbox(job), checked_digest(digest)), self.path(digest)):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise TransientError(f"store {self.url}: {error}") from error
            if not stat.S_ISREG(status.st_mode):
                raise UntrustedError(f"store {self.url}: {path} is not a regular file")
            return path
        self._find_folder()
        raise GridError(f"store {self.url}: the job has not delivered {digest}")

    def fetch_file(self, job: str, leaf: str, target: Path, most: int | None = None) -> bool:
        """Copy a file from the job's folder."""
        return self._fetch(path_below(self._inbox(job), checked_name(leaf)), target, most)

    def _fetch(self, source: Path, target: Path, most: int | None) -> bool:
        try:
            check_size(str(source), source.lstat().st_size, most)
            copy_untrusted(source, target)
        except (FileNotFoundError, NotADirectoryError) as error:
            if error.filename != str(source):
                raise
            self._find_folder()
            return False
        except OSError as error:
            raise TransientError(f"store {self.url}: {error}") from error
        return True

    def post(self, name: str, path: Path) -> str:
        """Copy a file, readable by its owner only."""
        target = self._posted(name)
        part = target.with_name(f".{secrets.token_hex(8)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.touch(0o600)
            shutil.copyfile(path, part)
            part.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise TransientError(f"store {self.url}: {error}") from error
        return target.as_uri()

    def fetch_posted(self, name: str, target: Path, most: int | None = None) -> bool:
        """Copy the copy."""
        return self._fetch(self._posted(name), target, most)

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove the copies."""
        try:
            for name in names:
                self._posted(name).unlink(missing_ok=True)
        except OSError as error:
            raise TransientError(f"store {self.url}: {error}") from error

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Rename the files."""
        for digest in digests:
            delivered = self.fetch_output(job, digest)
            if delivered != self.path(digest):
                delivered.replace(self.path(digest))

    def drop(self, job: str) -> None:
        """Remove the folder."""
        shutil.rmtree(self._inbox(job), ignore_errors=True)

    def _posted(self, name: str) -> Path:
        return path_below(self.folder / "posted", checked_name(name))

    def _find_folder(self) -> None:
        """Make sure that the folder exists: a missing file may be due to an unmounted file system.

        Raises:
            TransientError: The folder is missing.
        """
        try:
            self.folder.stat()
        except OSError as error:
            raise TransientError(f"store {self.url}: {error}") from error

    def _inbox(self, job: str) -> Path:
        return path_below(self.folder / "delivered", checked_name(job))
