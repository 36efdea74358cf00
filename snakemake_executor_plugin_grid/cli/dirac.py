"""The DIRAC client of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ..backends.dirac.client import Client

F = TypeVar("F", bound=Callable[..., Any])


def python_option(command: F) -> F:
    """Add ``--grid-dirac-python`` to a command, which gets it as ``dirac_python``.

    As the option of the executor: Snakemake's name for its variable is the same (seen in
    snakemake-interface-common 1.23).
    """
    return click.option(
        "--grid-dirac-python",
        "dirac_python",
        type=click.Path(path_type=Path),
        envvar="SNAKEMAKE_GRID_DIRAC_PYTHON",
        show_envvar=True,
        callback=checked_python,
        metavar="FILE",
        help="Python that has the DIRAC client (default: this one).",
    )(command)


def checked_python(_: click.Context, __: click.Parameter, python: Path | None) -> Path:
    """Return the Python of an option, or this one; also for other clients.

    Raises:
        click.BadParameter: It cannot be run.
    """
    if python is None:
        return Path(sys.executable)
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise click.BadParameter(f"{python} is no program that can be run.")
    return python


@contextmanager
def open_client(python: Path, folder: Path) -> Iterator[Client]:
    """Return a client that ends with the command.

    Args:
        python: Has DIRAC.
        folder: Where its log is.
    """
    client = Client(python, folder / "dirac.log")
    try:
        yield client
    finally:
        client.close()
