"""The working directory of the workflow that a command is about."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..console import error_log
from ..journal.database import DATABASE_FILE, FOLDER

F = TypeVar("F", bound=Callable[..., Any])


class NoWorkflowError(click.ClickException):
    """No workflow has run in the directory."""

    exit_code = 2


def directory_option(command: F) -> F:
    """Add ``--directory`` to a command, which gets it as ``directory``."""
    return click.option(
        "--directory",
        "-d",
        type=click.Path(path_type=Path),
        default=Path(),
        metavar="DIR",
        help="Working directory of the workflow (default: the current directory).",
    )(command)


def own_folder(directory: Path) -> Path:
    """Return the folder of this package in a working directory; errors go to the log there.

    Raises:
        NoWorkflowError: It has no journal.
    """
    folder = directory.absolute() / FOLDER
    if not (folder / DATABASE_FILE).is_file():
        raise NoWorkflowError(
            f"{directory.absolute()}: no workflow has run here with --executor grid; name its "
            "working directory by --directory"
        )
    context = click.get_current_context(silent=True)
    if context is not None and os.access(folder, os.W_OK):
        context.find_root().with_resource(error_log.opened(folder))
    return folder
