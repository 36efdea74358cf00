"""What ``snakemake-grid check`` tries of PanDA."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ...client_process.client import ProcessClient
from ...model.errors import PermanentError
from ...resilience.calls import with_timeout
from ..base import Backend
from ..diagnostics import (
    CLIENT,
    CONFIGURATION,
    CREDENTIALS,
    Diagnostic,
    Told,
    client_diagnostic,
    server_diagnostic,
)
from .client import Client
from .credentials import read_credentials

_VERSION = "from pandaclient import PandaToolsPkgInfo as info; print(info.release_version)"


def of_server(backend: Backend, client: Client, _: Path, scratch: Path) -> Sequence[Diagnostic]:
    """Return the checks, in the order in which a run needs them."""
    return (
        client_diagnostic(client, "panda", _VERSION, scratch),
        Diagnostic(CONFIGURATION, partial(_configuration, client), (CLIENT,)),
        Diagnostic(CREDENTIALS, partial(_credentials, backend), (CONFIGURATION,)),
        server_diagnostic(backend, CONFIGURATION, CREDENTIALS),
    )


async def _configuration(client: ProcessClient) -> Told:
    facts = await client.facts()
    own = "" if os.environ.get("PANDA_URL_SSL") else ", the client's own: PANDA_URL_SSL is not set"
    return Told(f"server {facts['server']}{own}")


async def _credentials(backend: Backend) -> Told:
    warning = await with_timeout(backend.check_credentials())
    if warning:
        raise PermanentError(warning)  # as a run would
    found = await asyncio.to_thread(read_credentials, os.environ, time.time())
    return Told(found.in_words(time.time()))
