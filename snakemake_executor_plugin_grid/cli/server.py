"""The backend of an earlier run, for commands that ask its server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ..backends.base import Backend
from ..journal.reader import JobRecord, RunRecord
from ..model.errors import GridError, TransientError
from ..resilience.calls import CALL_TIMEOUT, in_words, with_timeout
from .dirac import checked_python
from .workflow import open_database

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_FOLDER = "command"
_CLOSING = 10.0


@dataclass(frozen=True)
class Pythons:
    """Pythons that have the clients, where they are not those of the run.

    Attributes:
        dirac: Instead of the run's ``--grid-dirac-python``.
        panda: Instead of the run's ``--grid-panda-python``.
    """

    dirac: Path | None = None
    panda: Path | None = None


def python_options(command: F) -> F:
    """Add ``--grid-dirac-python`` and ``--grid-panda-python``, for Pythons that have moved."""
    for name, title in (("panda", "panda-client"), ("dirac", "the DIRAC client")):
        command = click.option(
            f"--grid-{name}-python",
            f"{name}_python",
            type=click.Path(path_type=Path),
            envvar=f"SNAKEMAKE_GRID_{name.upper()}_PYTHON",
            show_envvar=True,
            callback=_checked,
            metavar="FILE",
            help=f"Python that has {title} (default: that of the last run).",
        )(command)
    return command


def _checked(
    context: click.Context, parameter: click.Parameter, python: Path | None
) -> Path | None:
    return None if python is None else checked_python(context, parameter, python)


def last_run(runs: Sequence[RunRecord], backend: str) -> RunRecord:
    """Return the last run that used a backend.

    Raises:
        GridError: None has noted its options.
    """
    for run in reversed(runs):
        if run.backend == backend:
            return run
    raise GridError(
        f"{backend}: no run has noted by which options to reach it; start Snakemake again with "
        "the command of the last run, which looks after its jobs."
    )


def by_backend(jobs: Iterable[JobRecord]) -> dict[str, list[JobRecord]]:
    """Return jobs by the name of their backend."""
    found: dict[str, list[JobRecord]] = {}
    for job in jobs:
        found.setdefault(job.backend, []).append(job)
    return found


@contextlib.asynccontextmanager
async def backend_of(
    folder: Path,
    run: RunRecord,
    pythons: Pythons,
    *,
    alone: bool = False,
    silent: bool = False,
) -> AsyncIterator[Backend]:
    """Open the backend of a run by the options that it has noted; it is closed in the end.

    Calls go through ``ask``: each is tried once, as the user waits for it.

    Args:
        folder: Of this package below the working directory.
        run: The run.
        pythons: Where they are not those of the run.
        alone: Whether the caller has the lock, so that no run needs a local site.
        silent: Whether nothing is asked of the server, not even whether the credentials are good.

    Raises:
        GridError: It cannot be opened, or the credentials are not good: says why.
    """
    if run.backend == "dirac-local":
        raise GridError(
            "dirac-local: only the run itself knows its jobs, which live no longer than it."
        )
    if run.backend == "local" and run.host != socket.gethostname():
        raise GridError(f"local: its jobs run on {run.host}, and can be asked for only there.")
    # They import much, which commands that ask no server need not wait for.
    from ..backends.registry import equip
    from ..journal.catalog import Catalog
    from ..settings.serialize import from_json

    settings = from_json(run.settings)
    settings = replace(
        settings,
        dirac_python=pythons.dirac or settings.dirac_python,
        panda_python=pythons.panda or settings.panda_python,
    )
    workdir = folder.parents[1].resolve()  # as a run sees it, which local sites are named after
    with open_database(folder) as database:
        # A folder of its own: what a run has in the other, stores may take for left over.
        backend, _, outages = equip(
            *(settings, workdir, folder / _FOLDER, database, Catalog(database), tell),
            guest=not alone,
        )
        outages.use_loop(asyncio.get_running_loop())
        outages.stop()
        try:
            if not silent and (warning := await ask(backend.check_credentials())):
                tell(warning)
            yield backend
        finally:
            with contextlib.suppress(Exception):
                await with_timeout(backend.close(), _CLOSING)


def tell(text: str) -> None:
    """Show a line to the user, beside what a command prints."""
    click.echo(text, err=True)


async def ask(call: Coroutine[Any, Any, T], limit: float = CALL_TIMEOUT) -> T:
    """Make a call, once.

    Args:
        call: To the backend.
        limit: Seconds that it may take.

    Raises:
        GridError: Whatever went wrong, in words.
    """
    try:
        return await with_timeout(call, limit)
    except GridError:
        raise
    except TimeoutError as error:
        raise TransientError(f"there was no answer within {limit:g} s") from error
    except Exception as error:
        raise GridError(in_words(error)) from error
