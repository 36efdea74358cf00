"""The check of the stores: a small file goes there and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..backends.diagnostics import PROBE_SIZE, Told
from ..backends.kind import BackendSetup
from ..model.errors import PermanentError
from ..resilience.calls import retry_at_start
from ..stores import ResultStore
from ..worker.archive.files import file_digest


async def check_stores(url: str, setup: BackendSetup, scratch: Path) -> Told:
    """Try the stores of a run.

    Args:
        url: As given by ``--grid-store``; empty if it is that of the backend.
        setup: Has the stores.
        scratch: A folder to work in.

    Raises:
        GridError: A store does not work: says why.
    """
    probe = scratch / "probe"
    probe.write_bytes(secrets.token_bytes(PROBE_SIZE))
    with no_traces(url):
        await retry_at_start(partial(asyncio.to_thread, setup.stores.check))
        if setup.try_store is not None:
            return await asyncio.to_thread(setup.try_store, probe)
        if url and urlsplit(url).scheme != "file":
            # The store's own check writes, reads, compares and removes a file.
            return Told(f"{url}: a small file written, read back and removed")
        return await asyncio.to_thread(_try_folder, url, setup.stores.results, probe)


def _try_folder(url: str, store: ResultStore, probe: Path) -> Told:
    """Deliver a file as a job does, and fetch it as a run does."""
    job = f"check-{secrets.token_hex(8)}"
    _, digest = file_digest(probe)
    inbox = Path(unquote(urlsplit(store.inbox(job)).path))
    try:
        inbox.mkdir(parents=True)
        shutil.copyfile(probe, inbox / digest)
        path = store.fetch_output(job, digest)
        if path.read_bytes() != probe.read_bytes():
            raise PermanentError(
                f"{path}: what is read there is not what was written; choose another store"
            )
    finally:
        store.drop(job)
        with contextlib.suppress(OSError):
            inbox.parent.rmdir()
    where = url or "that of the local site"
    return Told(f"{where}: {PROBE_SIZE >> 10} KiB written, read back and removed")


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
