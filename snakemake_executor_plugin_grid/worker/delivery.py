"""Writes output blobs to a folder, as files that the WMS uploads, or to a URL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .archive.files import copy_hashed, file_digest
from .archive.listing import Entry
from .archive.member import Member
from .archive.pack import pack
from .description import DELIVERY_FOLDER, Job
from .records import dataclass, replace
from .report import Report, Returned

SANDBOX_SUFFIX = ".blob"
"""Suffix of files for the output sandbox of the WMS."""
DATA_SUFFIX = ".data"
"""Suffix of files that the WMS uploads to a storage element."""
_UPLOADS = "uploads"


@dataclass(frozen=True)
class Delivery:
    """A destination for blobs.

    Attributes:
        folder: Folder in which they are written.
        suffix: Suffix of their names after the digest; empty in a store that jobs share.
        limit: Maximum of their total size in bytes, None for no limit.
        url: Where `transfer.urls` uploads them to; empty if they stay in the folder.
    """

    folder: Path
    suffix: str = ""
    limit: int | None = None
    url: str = ""

    @classmethod
    def of(cls, job: Job, sandbox: Path, success: bool) -> Delivery:
        """Return the destination for the blobs of a job.

        DIRAC (9.1) takes ``*.blob`` beside the report into the output sandbox, always, and uploads
        ``*.data`` to the storage element only when the job succeeds.

        Args:
            job: ``deliver`` names the destination.
            sandbox: Folder of the report.
            success: Whether the job was successful so far.

        Raises:
            ValueError: The worker cannot write to such a store.
            OSError: The folder of the store is not there.
        """
        scheme = job.deliver.partition(":")[0]
        if not scheme:
            return cls(sandbox / DELIVERY_FOLDER)
        if scheme == "file":
            from .transfer import urls

            folder = Path(unquote(urlsplit(job.deliver).path))
            urls.require_store(folder)
            return cls(folder)
        if scheme == "lfn" and success:
            return cls(sandbox, DATA_SUFFIX)
        if scheme in ("sandbox", "lfn"):
            return cls(sandbox, SANDBOX_SUFFIX, job.deliver_limit)
        from .transfer import urls

        if scheme in urls.WRITABLE:
            return cls(sandbox / _UPLOADS, url=job.deliver)
        raise ValueError(f"the worker cannot write to {scheme}:// URLs")

    def path(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / (digest + self.suffix)

    def write(self, job: Job, items: Sequence[tuple[Entry, str]], report: Report) -> None:
        """Write large files one by one and all others into a tarball; remove them after an error.

        A sparse file with much data is in a tarball of its own.

        Args:
            job: Its name, its ``large_file`` and its ``compression``.
            items: Entries to write, each with its kind.
            report: ``returned``, ``blobs`` and ``bytes_out`` are filled.

        Raises:
            TarballError: A file changed or vanished while it was packed.
            OSError: Disk full, and the like.
            TransferError: They could not be uploaded.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        small = []
        try:
            for entry, kind in items:
                if entry.is_large(job.large_file):
                    self._write_raw(entry, kind, report)
                elif entry.stored >= job.large_file:  # sparse
                    self._write_tarball(job, [(entry, kind)], report)
                else:
                    small.append((entry, kind))
            self._write_tarball(job, small, report)
            self._put(report)
        except Exception:
            self.withdraw(report)
            raise
        report.bytes_out = sum(report.blobs.values())

    def withdraw(self, report: Report) -> None:
        """Remove the written files, except from a shared store."""
        if self.suffix or self.url:
            for digest in report.blobs:
                self.path(digest).unlink(missing_ok=True)
            report.blobs.clear()
            report.returned.clear()
            report.bytes_out = 0

    def _put(self, report: Report) -> None:
        if self.url:
            from .transfer import urls

            for digest in report.blobs:
                urls.put(self.path(digest), self.url, digest)
                self.path(digest).unlink()

    def _write_raw(self, entry: Entry, kind: str, report: Report) -> None:
        size, digest = file_digest(Path(entry.path))
        target = self.path(digest)
        if not target.exists():
            part = self.folder / f".{digest}.part"
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            try:
                # The tree is removed later, so a hard link can serve as the stored file, unless
                # the file has other names whose mode must still be read.
                if os.lstat(entry.path).st_nlink > 1:
                    raise OSError("has other names")
                os.link(entry.path, part)
                part.chmod(0o600)
            except OSError:
                copy_hashed(Path(entry.path), part)
            part.replace(target)
        report.blobs[digest] = size
        member = Member(entry.name, "file", entry.mode, size, entry.mtime_ns, digest)
        report.returned.append(Returned(member, kind, digest, raw=True))

    def _write_tarball(self, job: Job, items: Sequence[tuple[Entry, str]], report: Report) -> None:
        if not items:
            return
        archive = self.folder / f".{job.name}.part"
        packed = pack(
            (entry for entry, _ in items), archive, compression=job.compression, sums=True
        )
        archive.replace(self.path(packed.digest))
        report.blobs[packed.digest] = packed.size
        of = {entry.name: (entry.mtime_ns, kind) for entry, kind in items}
        for member in packed.members:
            mtime_ns, kind = of[member.name]
            member = replace(member, mtime_ns=mtime_ns)
            report.returned.append(Returned(member, kind, packed.digest))
