"""What ``snakemake-grid check`` tries of DIRAC."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ...client_process.client import ProcessClient
from ...console.format import clause, duration, file_size
from ...model.errors import CredentialsError, GridError, PermanentError
from ...resilience.calls import retry_at_start, with_timeout
from ...worker.archive.files import file_digest
from ...worker.delivery import DATA_SUFFIX
from ..base import Backend
from ..diagnostics import (
    CLIENT,
    CONFIGURATION,
    CREDENTIALS,
    PROBE_SIZE,
    SERVER,
    Diagnostic,
    Told,
    UntriedError,
    check_backend,
    client_diagnostic,
    server_diagnostic,
)
from .client import Client
from .credentials import judge, read_proxy
from .limits import read_limits
from .store import LfnStore
from .versions import read_versions

_VERSIONS = "DIRAC versions"
_VERSION = "import DIRAC; print(DIRAC.version)"


def of_server(
    backend: Backend, client: Client, hours: float, _: Path, scratch: Path
) -> Sequence[Diagnostic]:
    """Return the checks for a server.

    Args:
        backend: Of the server.
        client: Of the server.
        hours: For which the proxy has to be valid.
        scratch: A folder to work in.
    """
    return (
        client_diagnostic(client, "dirac", _VERSION, scratch),
        Diagnostic(CONFIGURATION, partial(_configuration, client), (CLIENT,)),
        Diagnostic(CREDENTIALS, partial(_proxy, client, hours), (CLIENT,)),
        Diagnostic(_VERSIONS, partial(_versions, client), (CONFIGURATION, CREDENTIALS)),
        server_diagnostic(backend, CONFIGURATION, CREDENTIALS, _VERSIONS),
    )


def of_local_mode(backend: Backend, client: Client, _: Path, scratch: Path) -> Sequence[Diagnostic]:
    """Return the checks for the local mode, which asks no server."""

    async def check() -> Told:
        await check_backend(backend)
        return Told("none is needed: jobs run here, by DIRAC's local mode")

    return (
        client_diagnostic(client, "dirac", _VERSION, scratch),
        Diagnostic(SERVER, check, (CLIENT,)),
    )


async def _configuration(client: ProcessClient) -> Told:
    try:
        facts = await client.facts()
    except CredentialsError:
        raise UntriedError("cannot be read without a good proxy") from None
    limit = min(int(facts["sandbox_limit"]), int(facts["output_limit"]))
    longest = read_limits(facts.get("job_limits", {})).max_cpu_time
    return Told(
        f"read: sandboxes of up to {file_size(limit)}, up to {facts['max_parametric']} jobs in a "
        f"submission, CPUTime of up to {longest}"
    )


async def _versions(client: Client) -> Told:
    versions = await retry_at_start(lambda: with_timeout(read_versions(client)))
    versions.check()
    gaps = f"; not supported there: {'; '.join(versions.gaps)}" if versions.gaps else ""
    return Told(f"client {versions.client}, server {versions.server}{gaps}", facts=asdict(versions))


async def _proxy(client: ProcessClient, hours: float) -> Told:
    fields = await client.call("proxy")
    proxy = read_proxy(fields)
    warning = judge(proxy, hours * 3600)
    if warning:
        raise PermanentError(warning)  # as a run would
    return Told(
        f"proxy of {fields['user'] or 'unknown'} in group {proxy.group} ({proxy.path}), valid for "
        f"{duration(proxy.seconds_left)}"
    )


def try_sandbox(client: Client, probe: Path) -> Told:
    """Upload a file as a sandbox."""
    client.call_now("upload_sandbox", [str(probe)])
    return Told(
        f"DIRAC's sandboxes: {PROBE_SIZE >> 10} KiB written; whether jobs can read it, --submit "
        "tries"
    )


def try_nothing(probe: Path) -> Told:
    """Report that the local mode has no store."""
    return Told("none is needed")


def try_storage_element(client: Client, store: LfnStore, element: str, probe: Path) -> Told:
    """Deliver a file as a job does, and fetch it as a run does."""
    job = f"check-{secrets.token_hex(8)}"
    _, digest = file_digest(probe)
    lfn = f"{store.deliveries}/{job}/{digest}{DATA_SUFFIX}"
    try:
        client.call_now("put", lfn, str(probe), element)
        if store.fetch_output(job, digest).read_bytes() != probe.read_bytes():
            raise PermanentError(f"{lfn} does not have the bytes that were written")
    except CredentialsError:
        raise
    except GridError as error:
        raise type(error)(
            f"{element} cannot be used: {clause(error)}; choose another by "
            "--grid-dirac-storage-element"
        ) from error
    finally:
        with contextlib.suppress(GridError):
            client.call_now("remove", [lfn])
        store.drop(job)
    return Told(
        f"{element}, lfn:{store.folder}: {PROBE_SIZE >> 10} KiB written, read back and removed"
    )
