"""Options as JSON values. Each run stores them in the journal.

The commands of ``snakemake-grid`` read them there, so that they reach the same server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from .options import ExecutorSettings


def to_json(settings: ExecutorSettings) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    found: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        if value != default:
            # Absolute, because a command may run in another directory.
            found[field.name] = str(value.absolute()) if isinstance(value, Path) else value
    return found


def from_json(values: Mapping[str, Any]) -> ExecutorSettings:
    """Return the options; those that this version does not know are ignored."""
    known: dict[str, Any] = {}
    for field in fields(ExecutorSettings):
        if field.name in values:
            value = values[field.name]
            is_path = Path in get_args(field.type) or field.type is Path
            known[field.name] = Path(value) if is_path and value is not None else value
    return ExecutorSettings(**known)
