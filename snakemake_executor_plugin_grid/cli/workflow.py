"""The workflow directory that a command is about."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import click

from ..journal.database import DATABASE_FILE, FOLDER, Database
from ..journal.reader import History

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


def open_database(folder: Path) -> closing[Database]:
    """Open the database in the folder, and close it in the end.

    Raises:
        GridError: It cannot be read.
    """
    return closing(Database(folder / DATABASE_FILE))


def open_history(folder: Path) -> closing[History]:
    """Open the journal in the folder for reading, also beside a run, and close it in the end.

    Raises:
        GridError: It cannot be read.
    """
    return closing(History(folder))


def run_is_on(folder: Path) -> bool | None:
    """Return whether a run, or a command that changes something, has the folder; None if unsure.

    The lock is tried for a moment, in the way that keeps no other command from trying it as well.
    """
    try:
        with (folder / "lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:  # not readable, or a file system without locks
        return None
    return False
