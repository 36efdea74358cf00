"""Makes the DIRAC backends and their stores by the options of a run."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from ...model.job import words
from ...settings.options import ExecutorSettings
from ...stores import Stores
from ...stores.directory import DirectoryStore
from ...stores.spool import SpoolStore
from ..kind import BackendSetup, Workspace
from . import checks
from .backend import DiracBackend
from .client import Client
from .jdl import Options
from .local_mode import LocalModeBackend
from .store import SCHEME, LfnStore, deliveries

_HINT = "give --grid-dirac-storage-element, or --grid-store"


def make(settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
    """Make the backend for a DIRAC server."""
    client = Client.shared(_python(settings), workspace.folder / "dirac.log")
    spool = SpoolStore(workspace.spool, client.sandbox_limit, _HINT)
    element, url = settings.dirac_storage_element or "", settings.store or ""
    backend = DiracBackend(
        client,
        _options(settings),
        spool,
        workspace.folder / "sandboxes",
        outputs=lambda: lfns.deliveries,
        say=workspace.say,
        fetch_inputs=settings.dirac_inputs == "fetch",
        proxy_hours=settings.proxy_hours,
    )
    outages = workspace.outages_of(settings, backend)
    try_store = None
    if element:
        lfns = LfnStore(
            spool, client, outages, workspace.catalog, element, url, workspace.bundles.bundle_of
        )
        stores = Stores(lfns, lfns)
        try_store = partial(checks.try_storage_element, client, lfns, element)
    elif url:
        store = workspace.open_store(settings, outages)
        stores = Stores(store, store)
    else:
        stores = Stores(spool, spool)
        try_store = partial(checks.try_sandbox, client)
    diagnose = partial(checks.of_server, backend, client, settings.proxy_hours)
    return BackendSetup(backend, stores, outages, diagnose, try_store)


def make_local_mode(settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
    """Make the backend for DIRAC's local mode."""
    python = _python(settings)
    backend = LocalModeBackend(workspace.spool, options=_options(settings), python=python)
    store = DirectoryStore(workspace.spool)
    client = Client(python, workspace.folder / "dirac.log")
    return BackendSetup(
        backend,
        Stores(store, store),
        workspace.outages_of(settings, backend),
        partial(checks.of_local_mode, backend, client),
        checks.try_nothing,
    )


def _python(settings: ExecutorSettings) -> Path:
    return settings.dirac_python or Path(sys.executable)


def _options(settings: ExecutorSettings) -> Options:
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
