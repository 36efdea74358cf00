"""Settings of Snakemake's storage plugins, as a worker's Snakemake reads them again.

Snakemake 9.27 hands on the settings of every plugin that is installed, used or not, writes one
colon behind a tag where its parser wants two, and quotes for Python rather than for a shell. So
they are written here. What a plugin lets be set by a variable, which is meant for credentials, goes
into the environment and never into the command line.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from typing import Any

from ..model.errors import GridError


def options(storages: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return the options of plugins, quoted for a shell.

    Args:
        storages: Storage plugins, as Snakemake's registry has them, each with its
            ``TaggedSettings``.

    Raises:
        GridError: A setting cannot be written.
    """
    words = []
    for plugin, field, values in _given(storages):
        if field.metadata.get("env_var"):
            continue
        name = plugin.get_cli_arg(field.name)
        if field.type is bool:
            words.append(name)
        elif len(values) == 1:
            words.append(f"{name}={shlex.quote(values[0])}")  # it may begin with a dash
        else:
            words += [name, *map(shlex.quote, values)]
    return words


def environment(storages: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Return the variables of plugins, whose values may be secrets.

    Args:
        storages: Storage plugins, as Snakemake's registry has them, each with its
            ``TaggedSettings``.

    Raises:
        GridError: A setting cannot be written.
    """
    return {
        plugin.get_envvar(field.name): _one_text(values)
        for plugin, field, values in _given(storages)
        if field.metadata.get("env_var")
    }


def _given(storages: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Field[Any], list[str]]]:
    """Yield each field that is not as by default, and its texts, those of tags with ``<tag>::``."""
    for plugin, settings in storages:
        if plugin.settings_cls is None or settings is None:
            continue
        for field in fields(plugin.settings_cls):
            texts = _texts(plugin, field, settings.get_field_settings(field.name))
            if texts:
                yield plugin, field, texts


def _texts(plugin: Any, field: Field[Any], by_tag: dict[str | None, Any]) -> list[str]:
    untagged = by_tag.get(None)
    if field.type is bool:
        # A switch, which knows no tags. Where it is on by default, there is none.
        return ["true"] if untagged and field.default is not True else []
    return [
        _text(plugin, field, value) if tag is None else f"{tag}::{_text(plugin, field, value)}"
        for tag, value in by_tag.items()
        # A tag without a value of its own takes the untagged one again.
        if value is not None and value != (field.default if tag is None else untagged)
    ]


def _text(plugin: Any, field: Field[Any], value: Any) -> str:
    write = field.metadata.get("unparse_func")
    if write is not None:
        return str(write(value))
    if callable(value):
        raise GridError(
            f"{plugin.get_cli_arg(field.name)} cannot be handed to a worker, as storage plugin "
            f"{plugin.name} has no text for its value; set it in the Snakefile (storage:) instead"
        )
    return str(value)


def _one_text(values: list[str]) -> str:
    """Return what ConfigArgParse reads from a variable as these values."""
    (first, *more) = values
    return json.dumps(values) if more or first.startswith("[") else first
