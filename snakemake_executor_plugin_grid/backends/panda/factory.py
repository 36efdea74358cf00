"""Makes the PanDA backend and its stores by the options of a run."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from functools import partial
from pathlib import Path

from ...model.errors import GridError
from ...model.job import words
from ...resilience.outages import Outages
from ...settings.options import ExecutorSettings
from ...stores import Stores
from ...stores.spool import SpooledInputs, SpoolStore
from ..kind import BackendSetup, Workspace
from . import checks
from .backend import PandaBackend
from .client import Client
from .credentials import check_credentials, read_credentials
from .routes import Idds, Jedi
from .rse_sites import RseSites, read_rse_sites
from .sandboxes import CACHE_LIMIT, Sandboxes
from .task import Options
from .task_registry import TaskRegistry


def make(settings: ExecutorSettings, workspace: Workspace) -> BackendSetup:
    """Make the backend."""
    client = Client(settings.panda_python or Path(sys.executable), workspace.folder / "panda.log")
    margin = settings.proxy_hours * 3600
    limit = settings.outage_limit * 3600
    check = partial(check_credentials, client, margin)
    outages = Outages(PandaBackend.name, limit, check, workspace.say)
    spool = SpoolStore(workspace.spool, lambda: CACHE_LIMIT, "")
    # Only --grid-describe, which sends nothing, needs no --grid-store.
    store = workspace.open_store(settings, outages, workspace.spool)
    registry = TaskRegistry(workspace.database)
    # Jobs need the token of the store to read a private file there, so it must not be in one.
    by_server = settings.panda_secrets == "server" or settings.store_token is not None
    folder = workspace.folder / "sandboxes"
    backend = PandaBackend(
        client,
        (Idds if settings.panda_route == "idds" else Jedi)(client),
        registry,
        _options(settings),
        Sandboxes(client, registry, spool, store, folder, by_server=by_server),
        store,
        monitor=settings.panda_monitor or "",
        proxy_hours=settings.proxy_hours,
        say=workspace.say,
    )
    stores = Stores(SpooledInputs(spool, store), store)
    return BackendSetup(backend, stores, outages, partial(checks.of_server, backend, client))


def _options(settings: ExecutorSettings) -> Options:
    # As prun does with a VO such as EIC.production.
    vo = os.environ.get("PANDA_AUTH_VO") or os.environ.get("OIDC_AUTH_VO") or ""
    vo = vo.partition(".")[0].partition(":")[0]
    user = ""
    with contextlib.suppress(GridError):  # check() says what is wrong with them
        user = read_credentials(os.environ, time.time()).user
    rse_sites: RseSites = {}
    if settings.panda_rse_sites is not None:
        with contextlib.suppress(GridError):  # told at the start; commands do not need the file
            rse_sites = read_rse_sites(settings.panda_rse_sites)
    return Options(
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
        rse_sites=rse_sites,
    )
