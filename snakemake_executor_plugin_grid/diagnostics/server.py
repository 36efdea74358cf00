"""Checks of the backend: its client, its configuration, the credentials, the server."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from functools import partial
from pathlib import Path

from ..backends.base import Backend
from ..backends.dirac.backend import DiracBackend
from ..backends.dirac.client import Client as DiracClient
from ..backends.dirac.credentials import judge as judge_proxy
from ..backends.dirac.credentials import read_proxy
from ..backends.local import LocalBackend
from ..backends.panda.backend import PandaBackend
from ..backends.panda.client import Client as PandaClient
from ..backends.panda.credentials import read_credentials, span
from ..cli.auth import credentials_in_words
from ..client_process.client import ProcessClient
from ..model.errors import CredentialsError, PermanentError, TransientError
from ..resilience.calls import CALL_TIMEOUT, retry_at_start, with_timeout
from ..settings.options import ExecutorSettings
from .findings import Findings, Told, UntriedError

OPTIONS = "options"
CLIENT = "client"
CONFIGURATION = "configuration"
CREDENTIALS = "credentials"
SERVER = "server"
_NOBODY = "snakemake-grid-check-00000000-1"
"""Looks like the name of a job that no run has sent."""
_VERSIONS = {
    "dirac": "import DIRAC; print(DIRAC.version)",
    "panda": "from pandaclient import PandaToolsPkgInfo as info; print(info.release_version)",
}


async def check_backend(
    findings: Findings, settings: ExecutorSettings, backend: Backend, workdir: Path, scratch: Path
) -> None:
    """Make the checks of a backend, in the order in which a run needs them.

    Args:
        findings: Where they go.
        settings: Options of the run.
        backend: That of these options, but for another directory.
        workdir: Working directory of the workflow.
        scratch: A folder to work in.
    """
    if isinstance(backend, LocalBackend):
        await findings.attempt(SERVER, partial(_local_site, backend, settings, workdir), OPTIONS)
        return
    python = settings.dirac_python if settings.backend == "dirac" else settings.panda_python
    found = partial(_client, settings.backend, python or Path(sys.executable), scratch)
    await findings.attempt(CLIENT, found, OPTIONS)
    if isinstance(backend, DiracBackend):
        client: ProcessClient = backend.client
        hours = settings.proxy_hours
        await findings.attempt(CONFIGURATION, partial(_dirac_configuration, client), CLIENT)
        await findings.attempt(CREDENTIALS, partial(_dirac_proxy, client, hours), CLIENT)
    elif isinstance(backend, PandaBackend):
        client = backend.client
        await findings.attempt(CONFIGURATION, partial(_panda_configuration, client), CLIENT)
        await findings.attempt(CREDENTIALS, partial(_panda_credentials, backend), CONFIGURATION)
    else:  # DIRAC's local mode asks no server
        await findings.attempt(SERVER, partial(_local_mode, backend), CLIENT)
        return
    await findings.attempt(SERVER, partial(_server, backend), CONFIGURATION, CREDENTIALS)


async def _local_site(backend: LocalBackend, settings: ExecutorSettings, workdir: Path) -> Told:
    """Start a site and ask it something; look whether jobs can be isolated."""
    await backend.check()
    await backend.find([_NOBODY])
    # Of the directory itself, which the site of a run beside need not notice.
    config = LocalBackend(settings, workdir, guest=True).config
    text = f"a local site starts, for {config.cores} processor(s) and {config.mem_mb} MB"
    if config.hidden:
        return Told(f"{text}; its jobs do not see {workdir}")
    asked = settings.local_isolation == "off"
    why = "as --grid-local-isolation off says" if asked else "as the kernel hides nothing here"
    return Told(f"{text}; its jobs see {workdir}, {why}")


async def _local_mode(backend: Backend) -> Told:
    await retry_at_start(partial(_checked, backend))
    return Told("none is needed: jobs run here, by DIRAC's local mode")


async def _client(name: str, python: Path, scratch: Path) -> Told:
    """Import the client library in its Python, and ask for its version."""
    makers = {"dirac": DiracClient, "panda": PandaClient}
    maker = makers[name]
    environment = maker(python, scratch / "none.log").environment()
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", _VERSIONS[name]),
            cwd=scratch,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise PermanentError(
            f"{python}: cannot be run ({error.strerror}); see {maker.option}"
        ) from error
    try:
        out, words = await asyncio.wait_for(process.communicate(), CALL_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise TransientError(
            f"{python}: importing the {maker.name} client takes more than {CALL_TIMEOUT:g} s"
        ) from None
    if process.returncode != 0:
        said = words.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {process.returncode}"
        raise PermanentError(
            f"{python}: has no {maker.name} client ({reason}); install it there by pip install "
            f"'snakemake-executor-plugin-grid[{name}]', or name a Python that has it by "
            f"{maker.option}"
        )
    lines = out.decode(errors="replace").split()
    version = lines[-1] if lines else "of unknown version"
    facts = {"version": version, "python": str(python)}
    return Told(f"{maker.name} client {version} ({python})", facts=facts)


async def _dirac_configuration(client: ProcessClient) -> Told:
    try:
        facts = await client.facts()
    except CredentialsError:
        raise UntriedError("cannot be read without a good proxy") from None
    limit = min(int(facts["sandbox_limit"]), int(facts["output_limit"]))
    return Told(
        f"read: sandboxes of up to {limit / 1e6:.1f} MB, up to {facts['max_parametric']} jobs in a "
        "submission"
    )


async def _dirac_proxy(client: ProcessClient, hours: float) -> Told:
    fields = await client.call("proxy")
    proxy = read_proxy(fields)
    warning = judge_proxy(proxy, hours * 3600)
    if warning:
        raise PermanentError(warning)  # as a run would
    return Told(
        f"proxy of {fields['user'] or 'unknown'} in group {proxy.group} ({proxy.path}), valid for "
        f"{span(proxy.seconds_left)}"
    )


async def _panda_configuration(client: ProcessClient) -> Told:
    facts = await client.facts()
    own = "" if os.environ.get("PANDA_URL_SSL") else ", the client's own: PANDA_URL_SSL is not set"
    return Told(f"server {facts['server']}{own}")


async def _panda_credentials(backend: PandaBackend) -> Told:
    warning = await with_timeout(backend.check_credentials())
    if warning:
        raise PermanentError(warning)  # as a run would
    found = await asyncio.to_thread(read_credentials, os.environ, time.time())
    return Told(credentials_in_words(found))


async def _server(backend: Backend) -> Told:
    """Do what a run does at its start, and ask for a job that is not there."""
    began = time.monotonic()
    await retry_at_start(partial(_checked, backend))
    await with_timeout(backend.find([_NOBODY]))
    return Told(f"{backend.name} answers ({time.monotonic() - began:.1f} s)")


async def _checked(backend: Backend) -> None:
    await with_timeout(backend.check())
