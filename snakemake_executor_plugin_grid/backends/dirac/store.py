"""A store on a DIRAC storage element: ``lfn:/vo/user/u/user/folder``.

Small blobs travel in sandboxes; only larger blobs and the outputs of jobs are put on the storage
element. Blobs lie under ``blobs/``, named by digest; each job delivers into its own folder under
``delivered/``, where outputs stay that other jobs read as inputs.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...console.format import clause
from ...console.progress import size_of, transfer
from ...journal.catalog import Catalog
from ...model.errors import CredentialsError, GridError, PermanentError
from ...model.recent import Recent
from ...model.untrusted import UntrustedError, check_size, checked_digest, checked_name, path_below
from ...resilience.calls import TRANSFER_TIMEOUT
from ...resilience.outages import Outages
from ...stores.base import InputStore, Limits, ResultStore
from ...stores.spool import SpoolStore
from ...worker.archive.files import file_digest
from ...worker.bundle import data_prefix
from ...worker.delivery import DATA_SUFFIX

if TYPE_CHECKING:
    from .client import Client

SCHEME = "lfn:"
_STORAGE = "storage"
_DEFAULT_FOLDER = "snakemake-grid"


def deliveries(url: str) -> str:
    """Return the LFN of the folder, in a store, in which each job has its folder of outputs."""
    return f"{url.removeprefix(SCHEME).rstrip('/')}/delivered"


def folder_of(client: Client, url: str) -> str:
    """Return the LFN of a store's folder.

    Args:
        client: Of the DIRAC installation.
        url: As given by the user; empty for a folder in the user's own.

    Raises:
        PermanentError: The proxy does not tell where the user's own is.
    """
    if url:
        return url.removeprefix(SCHEME).rstrip("/")
    proxy = client.call_now("proxy")
    user, vo = proxy["user"], proxy["vo"]
    if not user or not vo:
        raise PermanentError(
            "--grid-store: the proxy does not tell user and VO; give lfn:/vo/user/u/user/…"
        )
    return f"/{vo}/user/{user[0]}/{user}/{_DEFAULT_FOLDER}"


class LfnStore(InputStore, ResultStore):
    """Blobs on a storage element, found by the file catalog of DIRAC."""

    by_system = True

    def __init__(
        self,
        spool: SpoolStore,
        client: Client,
        outages: Outages,
        catalog: Catalog,
        element: str,
        url: str,
        bundle_of: Callable[[str], str | None],
    ) -> None:
        """Connect to nothing yet.

        Args:
            spool: For small blobs.
            client: Of the DIRAC installation.
            outages: Waits for it.
            catalog: Remembers what is where.
            element: Storage element.
            url: As given by the user; empty for a folder in the user's own.
            bundle_of: Returns the bundle of a job, which has one folder for all its jobs; None for
                a job alone.
        """
        self.url = url
        self._bundle_of = bundle_of
        self.workspace = spool.workspace
        self._spool = spool
        self._client = client
        self._outages = outages
        self._catalog = catalog
        self._element = element
        self._lock = threading.Lock()
        self._verified: Recent[str, str] = Recent()
        self._delivered: dict[str, dict[str, str]] = {}

    @property
    def limits(self) -> Limits:
        """Those of the sandbox, in which logs come back."""
        return self._spool.limits

    @property
    def folder(self) -> str:
        """LFN of the store's folder."""
        if not self.url:
            self.url = f"{SCHEME}{folder_of(self._client, '')}"
        return folder_of(self._client, self.url)

    @property
    def deliveries(self) -> str:
        """LFN of the folder in which each job has its folder of outputs."""
        return deliveries(self.folder)

    def check(self) -> None:
        """Put a small file there, and remove it.

        Raises:
            GridError: It does not work.
        """
        self._spool.check()
        probe = self._spool.folder / f".{secrets.token_hex(8)}.probe"
        lfn = f"{self.folder}/{probe.name.strip('.')}"
        probe.write_bytes(b"probe")
        try:
            self._client.call_now("put", lfn, str(probe), self._element)
            self._client.call_now("remove", [lfn])
        except CredentialsError:
            raise
        except GridError as error:
            raise type(error)(
                f"{self._element} cannot be used for {SCHEME}{self.folder}: {clause(error)}; "
                "choose others by --grid-dirac-storage-element and --grid-store."
            ) from error
        finally:
            probe.unlink()
        self._catalog.note_store(f"{SCHEME}{self.folder}", self._element)

    def has(self, digest: str, size: int) -> bool:
        """Return whether the blob is there: in the spool, or whole in the file catalog."""
        if digest in self._verified or self._spool.has(digest, size):
            return True
        url = self._catalog.location(digest, SCHEME)
        if url is None and self._spool.fits(size):
            return False  # small blobs are not put on the storage element
        lfn = (url or self._lfn(digest)).removeprefix(SCHEME)
        if self._call("sizes", [lfn])[lfn] != size:
            return False
        self._verified[digest] = lfn
        return True

    def put(self, digest: str, path: Path) -> None:
        """Take a file of the workspace."""
        if self._spool.fits(path.stat().st_size):
            self._spool.put(digest, path)
            return
        try:
            self._upload(digest, path)
        finally:
            path.unlink()

    def put_file(self, path: Path) -> tuple[int, str]:
        """Store a user's file; a large one is read for its digest, and goes up as it is."""
        if self._spool.fits(path.stat().st_size):
            return self._spool.put_file(path)
        size, digest = file_digest(path)
        if not self.has(digest, size):
            self._upload(digest, path)
        return size, digest

    def locate(self, digest: str) -> str:
        """Return where the worker finds the blob: nothing if it lies beside the job."""
        lfn = self._verified.get(digest)
        if lfn is not None:
            return SCHEME + lfn
        if self._spool.path(digest).exists():
            return self._spool.locate(digest)
        return self._catalog.location(digest, SCHEME) or self._spool.locate(digest)

    def inbox(self, job: str) -> str:
        """Return the folder of a job."""
        return f"{SCHEME}{self.deliveries}/{checked_name(job)}"

    def fetch_output(self, job: str, digest: str, most: int | None = None) -> Path:
        """Download what a job delivered, once."""
        target = path_below(self._incoming(job), checked_digest(digest))
        bundle = self._bundle_of(job)
        place = f"{job}/" if bundle is None else f"{bundle}/{data_prefix(job)}"
        lfn = f"{self.deliveries}/{place}{digest}{DATA_SUFFIX}"
        with self._lock:
            self._delivered.setdefault(job, {})[digest] = lfn
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.parent / lfn.rpartition("/")[2]  # as DIRAC names it
            try:
                if most is not None:  # first, as a larger file may fill the disk
                    size = self._client.call_now("sizes", [lfn])[lfn]
                    check_size(lfn, size or 0, most)
                with transfer(f"outputs of {job}", 0, up=False, store=self._element) as moving:
                    moving.watch(size_of(part))
                    path = self._client.call_now(
                        "get", lfn, str(target.parent), limit=TRANSFER_TIMEOUT
                    )
            except UntrustedError:
                raise
            except PermanentError as error:
                raise PermanentError(
                    f"the output {lfn} cannot be fetched: {clause(error)}; if "
                    f"{self._element} is full, free some space, or choose another by "
                    "--grid-dirac-storage-element"
                ) from error
            Path(path).rename(target)
        return target

    def keep(self, job: str, digests: Iterable[str]) -> None:
        """Remember the locations of blobs that other jobs read."""
        delivered = self._delivered.get(job, {})
        kept = {digest: delivered[digest] for digest in digests if digest in delivered}
        noted = ((digest, f"{SCHEME}{lfn}") for digest, lfn in kept.items())
        self._catalog.note_locations(noted).wait()
        with self._lock:
            self._verified.update(kept)
            for digest in kept:
                del delivered[digest]

    def drop(self, job: str) -> None:
        """Remove outputs of a job that are not kept; files that remain are noted."""
        shutil.rmtree(self._incoming(job), ignore_errors=True)
        with self._lock:
            lfns = list(self._delivered.pop(job, {}).values())
        if lfns:
            failed = dict.fromkeys(lfns, "")
            with contextlib.suppress(GridError):
                failed = self._client.call_now("remove", lfns)
            self._catalog.note_locations(("", f"{SCHEME}{lfn}") for lfn in failed).wait()

    def _upload(self, digest: str, path: Path) -> None:
        lfn, size = self._lfn(digest), path.stat().st_size

        async def attempt() -> None:
            call = self._client.call
            found = (await call("sizes", [lfn]))[lfn]
            if found not in (None, size):
                await call("remove", [lfn])  # an incomplete upload
            if found != size:
                # Noted first, so that the file is known even if the run dies now.
                await self._catalog.note_locations([(digest, f"{SCHEME}{lfn}")])
                moving.restart()
                await call("put", lfn, str(path), self._element, limit=TRANSFER_TIMEOUT)
                if (await call("sizes", [lfn]))[lfn] != size:
                    raise PermanentError(f"{lfn} has not arrived whole on {self._element}")

        with transfer(path.name, size, up=True, store=self._element) as moving:
            self._outages.call_now(_STORAGE, attempt, None)
        self._verified[digest] = lfn

    def _call(self, name: str, *args: Any) -> Any:
        return self._outages.call_now(_STORAGE, lambda: self._client.call(name, *args), None)

    def _lfn(self, digest: str) -> str:
        return f"{self.folder}/blobs/{digest[:2]}/{checked_digest(digest)}"

    def _incoming(self, job: str) -> Path:
        return path_below(self._spool.folder / "incoming", checked_name(job))
