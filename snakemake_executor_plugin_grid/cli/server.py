"""Opens the backend of an earlier run, for commands that ask its server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from ..backends import registry
from ..backends.base import Backend
from ..backends.kind import BackendKind
from ..journal.catalog import Catalog
from ..journal.database import open_database
from ..journal.records import JobRecord, RunRecord
from ..model.backend_names import backend_names
from ..model.errors import GridError, TransientError
from ..resilience.calls import CALL_TIMEOUT, in_words, with_timeout
from ..settings.serialize import from_json

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_FOLDER = "command"
_CLOSING = 10.0


def python_option(kind: BackendKind, default: str) -> Callable[[F], F]:
    """Add ``--grid-<backend>-python`` to a command, which gets it as ``<backend>_python``.

    As the option of the executor: Snakemake's name for its variable is the same (seen in
    snakemake-interface-common 1.23).

    Args:
        kind: Of the backend.
        default: What is taken without the option, in words.
    """
    return click.option(
        f"--grid-{kind.name}-python",
        f"{kind.name}_python",
        type=click.Path(path_type=Path),
        envvar=f"SNAKEMAKE_GRID_{kind.name.upper()}_PYTHON",
        show_envvar=True,
        callback=checked_python,
        metavar="FILE",
        help=f"Python that has {kind.client} (default: {default}).",
    )


def python_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for Pythons that have moved since the last run.

    The command gets them as ``pythons``: those that are given, by the name of the backend.
    """
    kinds = [kind for kind in registry.own_kinds() if kind.client]

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = {kind.name: kwargs.pop(f"{kind.name}_python") for kind in kinds}
        pythons = {name: python for name, python in given.items() if python is not None}
        return command(*args, pythons=pythons, **kwargs)

    for kind in reversed(kinds):
        wrapper = python_option(kind, "that of the last run")(wrapper)
    return wrapper


def checked_python(_: click.Context, __: click.Parameter, python: Path | None) -> Path | None:
    """Make sure that an option names a program."""
    if python is not None and not (python.is_file() and os.access(python, os.X_OK)):
        raise click.BadParameter(f"{python} is no program that can be run.")
    return python


def last_run(runs: Sequence[RunRecord], backend: str) -> RunRecord:
    """Return the last run that used a backend, as if it had used no other.

    Raises:
        GridError: None has noted its options.
    """
    for run in reversed(runs):
        if backend in backend_names(run.backend):
            return replace(run, backend=backend, settings={**run.settings, "backend": backend})
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
    pythons: Mapping[str, Path],
    *,
    alone: bool = False,
    silent: bool = False,
) -> AsyncIterator[Backend]:
    """Open the backend of a run with the options that the run has noted; close it at the end.

    Calls go through ``ask``: each is tried once, as the user waits for it.

    Args:
        folder: Of this package below the working directory.
        run: The run.
        pythons: Instead of those of the run, by the name of the backend.
        alone: Whether the caller holds the lock, so that no run needs a local site.
        silent: Whether the server is not asked, not even to check the credentials.

    Raises:
        GridError: It cannot be opened, or the credentials are not accepted: says why.
    """
    settings = from_json(run.settings)
    problem = registry.kind_of(settings.backend).why_unreachable(settings, run.host)
    if problem:
        raise GridError(problem)
    moved: dict[str, Any] = {f"{name}_python": python for name, python in pythons.items()}
    settings = replace(settings, **moved)
    workdir = folder.parents[1].resolve()  # as a run sees it, which local sites are named after
    with open_database(folder, guest=not alone) as database:
        # A separate folder: stores empty theirs, and a run may be using it.
        setup = registry.make_backend(
            *(settings, workdir, folder / _FOLDER, database, Catalog(database), tell),
            guest=not alone,
        )
        backend = setup.backend
        setup.outages.use_loop(asyncio.get_running_loop())
        setup.outages.stop()
        try:
            if not silent and (warning := await ask(backend.check_credentials())):
                tell(warning)
            yield backend
        finally:
            with contextlib.suppress(Exception):
                await with_timeout(backend.close(), _CLOSING)


def tell(text: str) -> None:
    """Show a line to the user on stderr."""
    click.echo(text, err=True)


async def ask(call: Coroutine[Any, Any, T], limit: float = CALL_TIMEOUT) -> T:
    """Make a call, once.

    Args:
        call: To the backend.
        limit: Seconds that it may take.

    Raises:
        GridError: The call failed.
    """
    try:
        return await with_timeout(call, limit)
    except GridError:
        raise
    except TimeoutError as error:
        raise TransientError(f"there was no answer within {limit:g} s") from error
    except Exception as error:
        raise GridError(in_words(error)) from error
