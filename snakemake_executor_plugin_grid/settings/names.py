"""The names of options: on the command line, and as variables.

Variables are set for all runs of a shell, also for those in which they make no sense.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..worker.processes import MARK

STORAGE_RUCIO_PYTHON = "SNAKEMAKE_STORAGE_GRID_RUCIO_PYTHON"
"""Variable of the storage plugin's option that stores need as well."""
_ALIKE = 0.85  # of 1, for names


def flag(name: str) -> str:
    """Return an option as it is written on the command line."""
    return f"--grid-{name.replace('_', '-')}"


def variable(name: str) -> str:
    """Return the variable that sets an option, where its field has ``env_var``."""
    return f"SNAKEMAKE_GRID_{name.upper()}"


def unset_empty(settings: Any) -> None:
    """Give options their defaults where a variable, or a text in its place, is empty."""
    for one in fields(settings):
        if one.metadata.get("env_var"):
            value = getattr(settings, one.name)
            # Snakemake makes a path of an empty variable: the current directory.
            empty = value == Path() and os.environ.get(variable(one.name)) == ""
            if value == "" or empty:
                setattr(settings, one.name, one.default)


def from_variables(settings: Any) -> set[str]:
    """Return the names of the options that have the value of a variable."""
    found = set()
    for option in fields(settings):
        text, value = os.environ.get(variable(option.name)), getattr(settings, option.name)
        if text and option.metadata.get("env_var"):
            if isinstance(value, Path):  # as Snakemake reads paths
                text = os.path.expandvars(str(Path(text).expanduser()))
            if str(value) == text:
                found.add(option.name)
    return found


def unread_variables(settings: Any) -> list[str]:
    """Return a sentence for each variable that looks like one of this package but is not read."""
    options = {variable(option.name): option for option in fields(settings)}
    readable = [name for name, option in options.items() if option.metadata.get("env_var")]
    sentences = []
    for name, value in sorted(os.environ.items()):
        # A run that is part of a job has the mark of that job.
        if not name.startswith(variable("")) or not value or name in (*readable, MARK):
            continue
        near = difflib.get_close_matches(name, readable, 1, _ALIKE)
        hint = "there is no such option."
        if name in options:
            hint = f"give {flag(options[name].name)} on the command line or in a profile."
        elif near:
            hint = f"did you mean {near[0]}?"
        sentences.append(f"variable {name} has no effect: {hint}")
    return sentences
