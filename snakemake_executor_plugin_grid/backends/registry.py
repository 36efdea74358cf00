"""What a run works with, by its options: backend and store, and the patience with both."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..journal.catalog import Catalog
from ..journal.database import Database
from ..journal.writer import last_place
from ..model.errors import GridError
from ..model.job import words
from ..resilience.outages import Patience
from ..settings.options import ExecutorSettings
from ..stores import Means, Store, open_store
from .base import Backend

if TYPE_CHECKING:
    from .dirac.jdl import Options
    from .panda.task import Options as TaskOptions

_SPOOL = "spool"
_STORE = "store"
_HINT = "give --grid-dirac-storage-element, or --grid-store"


def equip(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    database: Database,
    catalog: Catalog,
    say: Callable[[str], None],
    *,
    guest: bool = False,
) -> tuple[Backend, Store, Patience]:
    """Make backend and store; nothing outside is touched yet.

    Args:
        settings: Options of the run.
        workdir: Working directory of the workflow.
        folder: Of this package below it.
        database: Of the workflow.
        catalog: Knows what is on storage elements.
        say: Shows a line to the user.
        guest: Whether a run may be going on beside: nothing that it needs is removed.

    Raises:
        GridError: They cannot be made: says why.
    """
    if not guest:
        shutil.rmtree(folder / _SPOOL, ignore_errors=True)  # of an earlier run
    if settings.backend == "dirac":
        return _dirac(settings, workdir, folder, catalog, say)
    if settings.backend == "panda":
        return _panda(settings, workdir, folder, database, catalog, say)
    from ..stores.directory import DirectoryStore
    from .local import LocalBackend

    place = last_place(database, LocalBackend.name)
    backend = LocalBackend(settings, workdir, guest=guest, place=place)
    store: Store = DirectoryStore(backend.store_folder)
    patience = _patience(settings, backend, say)
    if settings.store is not None:
        store = _store(settings, workdir, folder, catalog, patience)
    return backend, store, patience


def _dirac(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    catalog: Catalog,
    say: Callable[[str], None],
) -> tuple[Backend, Store, Patience]:
    from ..stores.directory import DirectoryStore
    from ..stores.spool import SpoolStore
    from .dirac import DiracBackend
    from .dirac.client import Client
    from .dirac.store import LfnStore

    spool_folder = folder / _SPOOL
    python = settings.dirac_python or Path(sys.executable)
    if settings.dirac_mode == "local":
        from .dirac.local_mode import LocalModeBackend

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
    if url:
        return backend, _store(settings, workdir, folder, catalog, patience), patience
    return backend, spool, patience


def _panda(
    settings: ExecutorSettings,
    workdir: Path,
    folder: Path,
    database: Database,
    catalog: Catalog,
    say: Callable[[str], None],
) -> tuple[Backend, Store, Patience]:
    from ..stores.split import SplitStore
    from ..stores.spool import SpoolStore
    from .panda import PandaBackend
    from .panda.client import Client
    from .panda.routes import Idds, Jedi
    from .panda.sandboxes import CACHE_LIMIT
    from .panda.task_registry import Ledger

    spool_folder = folder / _SPOOL
    client = Client(settings.panda_python or Path(sys.executable), folder / "panda.log")
    backend = PandaBackend(
        client,
        (Idds if settings.panda_route == "idds" else Jedi)(client),
        Ledger(database),
        _task_options(settings),
        monitor=settings.panda_monitor or "",
        proxy_hours=settings.proxy_hours,
        say=say,
    )
    patience = _patience(settings, backend, say)
    spool = SpoolStore(spool_folder, lambda: CACHE_LIMIT, "")
    store: Store = spool  # for --grid-describe: a run has to have another
    if settings.store is not None:
        store = SplitStore(spool, _store(settings, workdir, folder, catalog, patience))
    # A token of the store is among them, which its jobs cannot fetch from there without it.
    by_server = settings.panda_secrets == "server" or settings.store_token is not None
    backend.carry(spool, folder / "sandboxes", store, by_server=by_server)
    return backend, store, patience


def _task_options(settings: ExecutorSettings) -> TaskOptions:
    from .panda.credentials import read_credentials
    from .panda.task import Options as TaskOptions

    # As prun does with a VO such as EIC.production.
    vo = os.environ.get("PANDA_AUTH_VO") or os.environ.get("OIDC_AUTH_VO") or ""
    vo = vo.partition(".")[0].partition(":")[0]
    user = ""
    with contextlib.suppress(GridError):  # check() says what is wrong with them
        user = read_credentials(os.environ, time.time()).user
    return TaskOptions(
        vo=settings.panda_vo or vo or "atlas",
        label=settings.panda_label,
        working_group=settings.panda_working_group or vo,
        cloud=settings.panda_cloud or "",
        processing_type=settings.panda_processing_type,
        sites=words(settings.site),
        banned_sites=words(settings.banned_sites),
        platform=settings.platform or "",
        priority=settings.priority,
        container=settings.panda_container or "",
        transformation=settings.panda_transformation or "",
        user=user,
        extra=settings.panda_task or "",
    )


def _store(
    settings: ExecutorSettings, workdir: Path, folder: Path, catalog: Catalog, patience: Patience
) -> Store:
    means = Means(folder / _STORE, catalog, patience, settings.store_token)
    return open_store(settings.store or "", workdir, means)


def _options(settings: ExecutorSettings) -> Options:
    from .dirac.jdl import Options
    from .dirac.store import SCHEME, deliveries

    url = settings.store or ""
    return Options(
        sites=words(settings.site),
        banned_sites=words(settings.banned_sites),
        tags=words(settings.tags),
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
