"""What a run works with, by its options: backend and store, and the patience with both."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .backends.base import Backend
from .patience import Patience
from .settings import ExecutorSettings
from .staging.catalog import Catalog
from .stores import Store, open_store

if TYPE_CHECKING:
    from .backends.dirac.jdl import Options

_SPOOL = "spool"
_HINT = "give --grid-dirac-storage-element, or --grid-store"


def equip(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    catalog: Catalog,
    say: Callable[[str], None],
) -> tuple[Backend, Store, Patience]:
    """Make backend and store; nothing outside is touched yet.

    Args:
        settings: Options of the run.
        workdir: Working directory of the workflow.
        folder: Of this package below it.
        catalog: Knows what is on storage elements.
        say: Shows a line to the user.

    Raises:
        GridError: They cannot be made: says why.
    """
    if settings.backend == "dirac":
        return _dirac(settings, workdir, folder, catalog, say)
    from .backends.local import LocalBackend
    from .stores.directory import DirectoryStore

    backend = LocalBackend(settings, workdir)
    store: Store = DirectoryStore(backend.store_folder)
    if settings.store is not None:
        store = open_store(settings.store, workdir)
    return backend, store, _patience(settings, backend, say)


def _dirac(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    catalog: Catalog,
    say: Callable[[str], None],
) -> tuple[Backend, Store, Patience]:
    from .backends.dirac import DiracBackend
    from .backends.dirac.client import Client
    from .stores.directory import DirectoryStore
    from .stores.lfn import LfnStore
    from .stores.spool import SpoolStore

    spool_folder = folder / _SPOOL
    shutil.rmtree(spool_folder, ignore_errors=True)  # of an earlier run
    python = settings.dirac_python or Path(sys.executable)
    if settings.dirac_mode == "local":
        from .backends.dirac.localmode import LocalModeBackend

        local = LocalModeBackend(spool_folder, options=_options(settings), python=python)
        return local, DirectoryStore(spool_folder), _patience(settings, local, say)
    client = Client(python, folder / "dirac.log")
    backend = DiracBackend(
        client,
        _options(settings),
        fetch_inputs=settings.dirac_inputs == "fetch",
        proxy_hours=settings.proxy_hours,
    )
    patience = _patience(settings, backend, say)
    spool = SpoolStore(spool_folder, client.sandbox_limit, _HINT)
    element, url = settings.dirac_storage_element or "", settings.store or ""
    remote = LfnStore(spool, client, patience, catalog, element, url)
    backend.carry(spool, folder / "sandboxes", lambda: remote.deliveries)
    if element:
        return backend, remote, patience
    return backend, open_store(url, workdir) if url else spool, patience


def _options(settings: ExecutorSettings) -> Options:
    from .backends.dirac.jdl import Options
    from .stores.lfn import SCHEME, deliveries

    url = settings.store or ""
    return Options(
        sites=_words(settings.site),
        banned_sites=_words(settings.banned_sites),
        tags=_words(settings.tags),
        platform=settings.platform or "",
        job_type=settings.job_type or "",
        priority=settings.priority,
        extra=settings.jdl or "",
        cpu_power=settings.dirac_cpu_power,
        storage_element=settings.dirac_storage_element or "",
        output_folder=deliveries(url) if url.startswith(SCHEME) else "",
    )


def _patience(settings: ExecutorSettings, backend: Backend, say: Callable[[str], None]) -> Patience:
    limit = settings.outage_limit * 3600
    if backend.outage_limit is not None:
        limit = min(limit, backend.outage_limit)
    return Patience(backend.name, limit, backend.check_credentials, say)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").replace(",", " ").split())
