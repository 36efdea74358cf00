"""Settings of Snakemake's storage plugins, written for the Snakemake of a worker.

Snakemake 9.27 passes the settings of every installed plugin, used or not, writes one colon behind a
tag where its parser expects two, and uses Python quotes instead of shell quotes. So this module
writes them. Settings that a plugin reads from a variable may be credentials: they go into the
environment and never into the command line.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from typing import Any

from ..model.errors import GridError
from .grid_files import PACKAGE


def used(workflow: Any) -> list[tuple[Any, Any]]:
    """Return the storage plugins that a workflow uses so far, with their settings.

    The plugin ``grid`` is not among them: where a worker runs Snakemake, it needs no settings.

    Args:
        workflow: ``snakemake.workflow.Workflow``.
    """
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    used = {type(one) for one in workflow.storage_registry._storages.values()}
    settings = workflow.storage_provider_settings or {}
    return [
        (plugin, settings.get(name))
        for name, plugin in sorted(StoragePluginRegistry().plugins.items())
        if plugin.storage_provider in used
        and plugin.storage_provider.__module__.partition(".")[0] != PACKAGE
    ]


def options(storages: Iterable[tuple[Any, Any]]) -> list[str]:
    """Return the options of plugins, quoted for a shell.

    Args:
        storages: Storage plugins of Snakemake's registry, each with its ``TaggedSettings``.

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
        storages: Storage plugins of Snakemake's registry, each with its ``TaggedSettings``.

    Raises:
        GridError: A setting cannot be written.
    """
    return {
        plugin.get_envvar(field.name): _one_text(values)
        for plugin, field, values in _given(storages)
        if field.metadata.get("env_var")
    }


def _given(storages: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Field[Any], list[str]]]:
    """Yield each field that has no default value, and its texts, ``<tag>::<text>`` with a tag."""
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
        # A switch has no tags, and does not exist if it is on by default.
        return ["true"] if untagged and field.default is not True else []
    return [
        _text(plugin, field, value) if tag is None else f"{tag}::{_text(plugin, field, value)}"
        for tag, value in by_tag.items()
        # A tag without its own value uses the untagged one.
        if value is not None and value != (field.default if tag is None else untagged)
    ]


def _text(plugin: Any, field: Field[Any], value: Any) -> str:
    write = field.metadata.get("unparse_func")
    if write is not None:
        return str(write(value))
    if callable(value):
        raise GridError(
            f"{plugin.get_cli_arg(field.name)} cannot be passed to a worker: storage plugin "
            f"{plugin.name} cannot write its value as text; set it in the Snakefile (storage:)"
        )
    return str(value)


def _one_text(values: list[str]) -> str:
    """Return the text of a variable from which ConfigArgParse reads these values."""
    (first, *more) = values
    return json.dumps(values) if more or first.startswith("[") else first
