"""Absolute paths below the working directory that the configuration gives.

A worker reads the same configuration files in another folder. There, ``--config`` replaces these
paths, so that they lead below the working directory of the worker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

Translate = Callable[[str], str]
Keys = tuple[Any, ...]

# Of Snakemake 9.27, for --config
_KEY = re.compile(r"[a-zA-Z_][\w-]*\w")


class ConfigPaths:
    """The paths of a workflow's configuration.

    Attributes:
        arguments: Values of ``--config`` for a worker.
        replaced: The paths that they replace.
    """

    def __init__(self, workflow: Any, translate: Translate) -> None:
        """Find the paths.

        Args:
            workflow: ``snakemake.workflow.Workflow``.
            translate: Returns what stands for a path on a worker; other texts as they are.
        """
        self.arguments: list[str] = []
        self.replaced: set[str] = set()
        found: dict[str, Any] = {}
        for keys, value in _given(workflow).items():
            new = _map(value, translate)
            if new != value and _passes(keys, value):
                _put(found, keys, new)
                self.replaced.update(text for text in _texts(value) if translate(text) != text)
        self.arguments = [
            f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in found.items()
        ]

    def gives(self, path: str) -> bool:
        """Return whether a path begins with one that a worker gets in its own form."""
        return any(path.startswith(text) for text in self.replaced)


def _given(workflow: Any) -> dict[Keys, Any]:
    """Return the values of the command line and of configuration files that are certain.

    Values that two files give differently are left out: the workflow may use both. Values that the
    Snakefile sets are no part of it: the worker sets them, too.
    """
    from snakemake.common.configfile import load_configfile

    settings = workflow.config_settings
    given = dict(_leaves(settings.overwrite_config))
    if any(module.config is None for module in workflow.modules.values()):
        return {}  # --config would change the module's own configuration as well
    if given and settings.replace_workflow_config:
        return given
    found: dict[Keys, Any] = {}
    unsure: set[Keys] = set()
    try:
        for file in workflow.configfiles:
            for keys, value in _leaves(load_configfile(file)):
                if found.setdefault(keys, value) != value:
                    unsure.add(keys)
    except (WorkflowError, OSError):
        return {}  # it is gone, or its path is relative to another folder
    return {keys: value for keys, value in found.items() if keys not in unsure} | given


def _leaves(config: Mapping[Any, Any], above: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield the values that are no dictionaries, which is how Snakemake merges configurations."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _passes(keys: Keys, value: Any) -> bool:
    """Return whether ``--config`` passes a value without changing the type of anything in it.

    Snakemake reads lists and dictionaries there with all numbers as texts.
    """
    return (
        all(isinstance(key, str) for key in keys)
        and _KEY.fullmatch(keys[0]) is not None
        and all(isinstance(text, str) for text in _texts(value))
    )


def _texts(value: Any) -> Iterator[Any]:
    """Yield everything in a value that is no list and no dictionary; keys as well."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        yield value


def _map(value: Any, translate: Translate) -> Any:
    if isinstance(value, str):
        return translate(value)
    if isinstance(value, Mapping):
        return {key: _map(item, translate) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(item, translate) for item in value]
    return value


def _put(config: dict[str, Any], keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        config = config.setdefault(key, {})
    config[keys[-1]] = value
