"""A store on a remote server that submit host and workers reach by the same protocol.

Blobs lie under ``blobs/``, named by digest; each job delivers into its own folder under
``delivered/``, where outputs stay that other jobs read as inputs; small files for workers lie under
``posted/``. Each file is noted before it is put there, so that it can be removed.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ..console.progress import NOTHING, Transfer, transfer
from ..journal.catalog import Catalog
from ..model.errors import (
    CredentialsError,
    EndingError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)
from ..model.recent import Recent
from ..model.untrusted import UntrustedError, check_size, checked_digest, checked_name, path_below
from ..resilience.outages import Outages
from ..resilience.threads import in_thread
from ..worker.archive.files import file_digest
from .base import Store
from .transport import Transport

T = TypeVar("T")

BLOBS = "blobs/"
"""What the names of blobs begin with."""
DELIVERED = "delivered"
"""Folder of a store in which each job has its folder."""
_POSTED = "posted"
FOLDERS = (BLOBS.rstrip("/"), DELIVERED, _POSTED)
"""All folders of a store."""
_PROBE = b"probe"


class RemoteStore(Store):
    """Blobs as files at a remote place."""

    def __init__(
        self, transport: Transport, folder: Path, outages: Outages, catalog: Catalog
    ) -> None:
        """Connect to nothing yet.

        Args:
            transport: Moves the files.
            folder: Local, for archives and for what was downloaded; it is emptied by ``check``.
            outages: Those of the run; the store waits for its own outages and credentials as well.
            catalog: Remembers what is where.
        """
        self.url = transport.url
        self.secret = transport.secret
        self.workspace = folder
        self._transport = transport
        self._catalog = catalog
        self._outages = outages.beside(self.url, self._check_credentials)
        self._lock = threading.Lock()
        self._verified: Recent[str, str] = Recent()
        self._delivered: dict[str, dict[str, str]] = {}

    def check(self) -> None:
        """Put a small file there, read it, and remove it.

        Raises:
            GridError: It does not work.
        """
        shutil.rmtree(self.workspace, ignore_errors=True)  # of an earlier run
        self.workspace.mkdir(parents=True)
        probe = self.workspace / f"probe-{secrets.token_hex(8)}"
        back = probe.with_suffix(".back")
        probe.write_bytes(_PROBE)
        try:
            self._transport.check()
            self._transport.upload(probe, probe.name)
            self._transport.download(probe.name, back)
            same = back.read_bytes() == _PROBE
            self._transport.remove([probe.name])
            if not same:
                raise PermanentError("what is read there is not what was written")
        except (CredentialsError, EndingError):
            raise
        except GridError as error:
            kind = TransientError if isinstance(error, TransientError) else PermanentError
            raise kind(f"--grid-store {self.url}: it cannot be used: {error}") from error
        finally:
            probe.unlink()
            back.unlink(missing_ok=True)
        self._catalog.note_store(self.url, self._transport.element)

    def has(self, digest: str, size: int) -> bool:
        """Return whether the whole blob is there; the server is asked once per run."""
        if digest in self._verified:
            return True
        url = self._catalog.location(digest, f"{self.url}/")
        name = blob_name(digest) if url is None else self._name(url)
        there = self._persist("stored files", lambda: self._transport.size(name))
        if there is None and url is not None:
            self._catalog.forget_locations([url])  # otherwise each run would ask for it
        if there != size:
            return False
        self._verified[digest] = name
        return True

    def put(self, digest: str, path: Path) -> None:
        """Upload a file of the workspace."""
        try:
            self._send(path, digest)
        finally:
            path.unlink()
        self._verified[digest] = blob_name(digest)

    def put_file(self, path: Path) -> tuple[int, str]:
        """Upload a user's file as it is; it is read for its digest before.

        Raises:
            GridError: It cannot be done, or the file changed during the upload.
        """
        before = path.stat().st_mtime_ns
        size, digest = file_digest(path)
        if not self.has(digest, size):
            self._send(path, digest)
            if path.stat().st_mtime_ns != before:  # what is there may not be what its name says
                self._discard([blob_name(digest)])
                raise PermanentError(
                    f"{path} changed while it was being stored; run again when nothing writes to it"
                )
            self._verified[digest] = blob_name(digest)
        return size, digest

    def locate(self, digest: str) -> str:
        """Return the URL by which workers read the blob."""
        name = self._verified.get(digest)
        if name is None:
            url = self._catalog.location(digest, f"{self.url}/")
            name = blob_name(digest) if url is None else self._name(url)
        return self._transport.source(name)

    def inbox(self, job: str) -> str:
        """Return the URL of a folder."""
        return self._transport.inbox(_inbox(job))

    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Download what a job delivered, once."""
        target = path_below(self._incoming(job), checked_digest(digest))
        name = f"{_inbox(job)}/{digest}"
        self._note_delivered(job, digest, name)
        if not target.exists():
            try:
                with transfer(f"outputs of {job}", 0, up=False, store=self.url) as moving:
                    self._download(name, target, most, moving)
            except MissingError as error:
                raise MissingError(
                    f"store {self.url}: the job has not delivered {name}: {error}"
                ) from error
        return target

    def fetch_file(self, job: str, leaf: str, target: Path, most: int | None = None) -> bool:
        """Download a file that the worker left under a plain name."""
        name = f"{_inbox(job)}/{checked_name(leaf)}"
        try:
            self._download(name, target, most)
        except MissingError:
            return False
        except UntrustedError:
            self._note_delivered(job, leaf, name)  # it is removed as the others
            raise
        self._note_delivered(job, leaf, name)
        return True

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Remember the locations of blobs that other jobs read."""
        delivered = self._delivered.get(job, {})
        kept = {digest: delivered[digest] for digest in digests if digest in delivered}
        self._catalog.note_locations(
            (digest, self._url(name)) for digest, name in kept.items()
        ).wait()
        with self._lock:
            self._verified.update(kept)
            for digest in kept:
                del delivered[digest]

    def drop(self, job: str) -> None:
        """Remove outputs of a job that are not kept; files that remain are noted."""
        shutil.rmtree(self._incoming(job), ignore_errors=True)
        with self._lock:
            names = list(self._delivered.pop(job, {}).values())
        if names:
            self._discard(names)
            with contextlib.suppress(GridError):
                self._transport.tidy(_inbox(job))

    def post(self, name: str, path: Path) -> str:
        """Upload a file under a name."""
        place = f"{_POSTED}/{checked_name(name)}"
        self._upload(place, path, "")
        return self._transport.source(place)

    def fetch_posted(self, name: str, target: Path, most: int | None = None) -> bool:
        """Download a file that was posted."""
        try:
            self._download(f"{_POSTED}/{checked_name(name)}", target, most)
        except MissingError:
            return False
        return True

    def withdraw(self, names: Iterable[str]) -> None:
        """Remove files that were posted; files that remain stay noted."""
        self._discard([f"{_POSTED}/{checked_name(name)}" for name in names])

    def _incoming(self, job: str) -> Path:
        return path_below(self.workspace / "incoming", checked_name(job))

    def _discard(self, names: list[str]) -> None:
        """Remove files; files that remain are noted, the others forgotten."""
        failed = dict.fromkeys(names, "")
        with contextlib.suppress(GridError):
            failed = self._transport.remove(names)
        self._catalog.note_locations(("", self._url(name)) for name in failed).wait()
        self._catalog.forget_locations(self._url(name) for name in names if name not in failed)

    def _send(self, path: Path, digest: str) -> None:
        with transfer(path.name, path.stat().st_size, up=True, store=self.url) as moving:
            self._upload(blob_name(digest), path, digest, moving)

    def _upload(self, name: str, path: Path, digest: str, moving: Transfer = NOTHING) -> None:
        size = path.stat().st_size
        again = False

        def attempt() -> None:
            nonlocal again
            first, again = not again, True
            # In a later attempt the file may be there: only the answer was lost.
            if first or not digest or self._transport.size(name) != size:
                # Noted first, so that the file is known even if the run dies now.
                self._catalog.note_locations([(digest, self._url(name))]).wait()
                moving.restart()
                self._transport.upload(path, name, moving)
                if self._transport.size(name) != size:
                    raise TransientError(f"{self._url(name)} has not arrived whole")

        self._persist("an upload", attempt)

    def _download(
        self, name: str, target: Path, most: int | None, moving: Transfer = NOTHING
    ) -> None:
        if most is not None:  # first, as a larger file may fill the disk
            size = self._persist("the size of a file", lambda: self._transport.size(name))
            check_size(self._url(name), size or 0, most)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")

        def attempt() -> None:
            moving.restart()
            self._transport.download(name, part, moving, most)

        try:
            self._persist("a download", attempt)
            moving.reach(part.stat().st_size)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _persist(self, what: str, call: Callable[[], T]) -> T:
        """Repeat a call until it works or the limit of an outage has passed."""
        return self._outages.call_now(what, lambda: in_thread(call), None)

    async def _check_credentials(self) -> str:
        """Make a call that needs them."""
        await in_thread(self._transport.size, "credentials")
        return ""

    def _note_delivered(self, job: str, leaf: str, name: str) -> None:
        with self._lock:
            self._delivered.setdefault(job, {})[leaf] = name

    def _url(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _name(self, url: str) -> str:
        return url.removeprefix(f"{self.url}/")


def blob_name(digest: str) -> str:
    """Return the name of a blob in the store."""
    return f"{BLOBS}{digest[:2]}/{checked_digest(digest)}"


def _inbox(job: str) -> str:
    return f"{DELIVERED}/{checked_name(job)}"
