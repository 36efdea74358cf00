"""What backends contribute to ``snakemake-grid check``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..client_process.client import ProcessClient
from ..model.errors import PermanentError, TransientError
from ..resilience.calls import CALL_TIMEOUT, retry_at_start, with_timeout
from .base import Backend

CLIENT = "client"
CONFIGURATION = "configuration"
CREDENTIALS = "credentials"
SERVER = "server"
PROBE_SIZE = 1 << 16
"""Bytes of the file with which stores are tried."""
NO_JOB = "snakemake-grid-check-00000000-1"
"""Looks like the name of a job that no run has sent."""


@dataclass(frozen=True)
class Told:
    """What a check returns that has not failed.

    Attributes:
        text: The result in words.
        warning: Whether the user should act.
        facts: The result as JSON values for scripts.
    """

    text: str
    warning: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


class UntriedError(Exception):
    """A check cannot be tried; the message says why."""


Check = Callable[[], Coroutine[Any, Any, Told]]


@dataclass(frozen=True)
class Diagnostic:
    """One check.

    Attributes:
        name: What it checks, in a word.
        check: Returns what it has found, or raises.
        needs: Names of checks that have to succeed before.
    """

    name: str
    check: Check
    needs: tuple[str, ...] = ()


def client_diagnostic(client: ProcessClient, extra: str, version: str, scratch: Path) -> Diagnostic:
    """Return the check that imports a client library in its Python.

    Args:
        client: Of the library.
        extra: Of this package, which installs the library.
        version: Python code that prints the version.
        scratch: A folder to work in.
    """
    return Diagnostic(CLIENT, partial(_import_client, client, extra, version, scratch))


def server_diagnostic(backend: Backend, *needs: str) -> Diagnostic:
    """Return the check that does what a run does at its start, and asks for an unknown job."""

    async def check() -> Told:
        began = time.monotonic()
        await check_backend(backend)
        await with_timeout(backend.find([NO_JOB]))
        return Told(f"{backend.name} answers ({time.monotonic() - began:.1f} s)")

    return Diagnostic(SERVER, check, needs)


async def check_backend(backend: Backend) -> None:
    """Make the check that a run makes at its start."""
    await retry_at_start(lambda: with_timeout(backend.check()))


async def _import_client(client: ProcessClient, extra: str, version: str, scratch: Path) -> Told:
    python = client.python
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-c", version),
            cwd=scratch,
            env=client.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise PermanentError(
            f"{python}: cannot be run ({error.strerror}); see {client.option}"
        ) from error
    try:
        out, words = await asyncio.wait_for(process.communicate(), CALL_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise TransientError(
            f"{python}: importing the {client.name} client takes more than {CALL_TIMEOUT:g} s"
        ) from None
    if process.returncode != 0:
        said = words.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit code {process.returncode}"
        raise PermanentError(
            f"{python}: has no {client.name} client ({reason}); install it there by pip install "
            f"'snakemake-executor-plugin-grid[{extra}]', or name a Python that has it by "
            f"{client.option}"
        )
    lines = out.decode(errors="replace").split()
    found = lines[-1] if lines else "of unknown version"
    facts = {"version": found, "python": str(python)}
    return Told(f"{client.name} client {found} ({python})", facts=facts)
