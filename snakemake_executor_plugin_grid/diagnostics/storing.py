"""The check of the store: a small blob goes there and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..backends.base import Backend
from ..backends.dirac.backend import DiracBackend
from ..backends.dirac.store import LfnStore
from ..model.errors import CredentialsError, GridError, PermanentError
from ..resilience.outages import persistently
from ..settings.options import ExecutorSettings
from ..stores import Store
from ..stores.spool import SpoolStore
from ..worker.archive.tarball import file_digest
from ..worker.delivery import DATA_SUFFIX
from .findings import Told

_SIZE = 1 << 16
_DONE = "written, read back and removed"


async def check_store(
    settings: ExecutorSettings, backend: Backend, store: Store, scratch: Path
) -> Told:
    """Try a store.

    Args:
        settings: Options of the run.
        backend: Has the client of a storage element.
        store: Of the run.
        scratch: A folder to work in.

    Raises:
        GridError: It does not work: says why.
    """
    probe = scratch / "probe"
    probe.write_bytes(secrets.token_bytes(_SIZE))
    with no_traces(settings.store or ""):
        await persistently(partial(asyncio.to_thread, store.check))
        if isinstance(store, LfnStore) and isinstance(backend, DiracBackend):
            element = settings.dirac_storage_element or ""
            return await asyncio.to_thread(_storage_element, backend, store, element, probe)
        if isinstance(store, SpoolStore) and isinstance(backend, DiracBackend):
            await backend.client.call("upload_sandbox", [str(probe)])
            return Told(
                f"DIRAC's sandboxes: {_SIZE >> 10} KiB written; whether jobs can read it, --submit "
                "tries"
            )
        if settings.store is not None and urlsplit(settings.store).scheme != "file":
            # store.check() writes, reads, compares and removes.
            return Told(f"{settings.store}: a small file {_DONE}")
        if settings.backend == "dirac":
            return Told("none is needed")
        return await asyncio.to_thread(_folder, settings.store or "", store, probe)


def _storage_element(backend: DiracBackend, store: LfnStore, element: str, probe: Path) -> Told:
    """Deliver a file as a job would, and take it in as a run would."""
    job = f"check-{secrets.token_hex(8)}"
    _, digest = file_digest(probe)
    lfn = f"{store.deliveries}/{job}/{digest}{DATA_SUFFIX}"
    try:
        backend.client.call_now("put", lfn, str(probe), element)
        _compare(store.delivered(job, digest), probe, f"{element}, {lfn}")
    except CredentialsError:
        raise
    except GridError as error:
        raise type(error)(
            f"{element} cannot be used: {error}; choose another by --grid-dirac-storage-element"
        ) from error
    finally:
        with contextlib.suppress(GridError):
            backend.client.call_now("remove", [lfn])
        store.drop(job)
    return Told(f"{element}, lfn:{store.folder}: {_SIZE >> 10} KiB {_DONE}")


def _folder(url: str, store: Store, probe: Path) -> Told:
    """Post a file, and read it where workers would."""
    name = f"check-{secrets.token_hex(8)}"
    path = Path(unquote(urlsplit(store.post(name, probe)).path))
    try:
        _compare(path, probe, str(path))
    finally:
        store.withdraw([name])
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    return Told(f"{url or 'that of the local site'}: {_SIZE >> 10} KiB {_DONE}")


def _compare(back: Path, probe: Path, where: str) -> None:
    if back.read_bytes() != probe.read_bytes():
        raise PermanentError(
            f"{where}: what is read there is not what was written; choose another store"
        )


@contextlib.contextmanager
def no_traces(url: str) -> Iterator[None]:
    """Remove the folder of a store in the end, and those above, if it was not there before.

    Args:
        url: Of the store; only for ``file:`` there is a folder.
    """
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    made = []
    if parts.scheme == "file":
        made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
