"""The workflow directory that a command is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ..database import DATABASE_FILE, FOLDER, Database

F = TypeVar("F", bound=Callable[..., Any])


class NoWorkflowError(click.ClickException):
    """There is nothing in the directory that a command could be about."""

    exit_code = 2


def directory_option(command: F) -> F:
    """Add ``--directory`` to a command, which gets it as ``directory``."""
    return click.option(
        "--directory",
        "-d",
        type=click.Path(path_type=Path),
        default=Path(),
        metavar="DIR",
        help="Working directory of the workflow (default: this one).",
    )(command)


def own_folder(directory: Path) -> Path:
    """Return the folder in which runs keep their database.

    Raises:
        NoWorkflowError: There is none: no run has been here.
    """
    folder = directory.absolute() / FOLDER
    if not (folder / DATABASE_FILE).is_file():
        raise NoWorkflowError(
            f"{directory.absolute()}: no workflow has run here with --executor grid; name its "
            "working directory by --directory"
        )
    return folder


@contextmanager
def open_database(folder: Path) -> Iterator[Database]:
    """Open the database in the folder, and close it in the end.

    Raises:
        GridError: It cannot be read.
    """
    database = Database(folder / DATABASE_FILE)
    try:
        yield database
    finally:
        database.close()
