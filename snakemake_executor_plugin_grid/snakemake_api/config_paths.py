"""Absolute paths below the working directory that the configuration gives to declared files.

A worker has another working directory. Copies of the configuration files travel, in which
`WORKDIR` stands for it; the worker puts its own path there before Snakemake starts.
"""

from __future__ import annotations

import io
import json
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..worker.description import WORKDIR

Translate = Callable[[str], str]

_COMMAND_LINE = "--config"
_PROBE = "/grid-probe"  # any absolute path: rewritten configurations are loaded with it


class ConfigPaths:
    """The paths of a workflow's configuration that are translated for workers.

    Attributes:
        copies: By relative path of a configuration file, the contents that travel.
        arguments: Values of ``--config`` for a worker.
        translated: The paths that are translated.
    """

    def __init__(self, workflow: Any, translate: Translate, declared: Iterable[str]) -> None:
        """Find the paths.

        Args:
            workflow: ``snakemake.workflow.Workflow``.
            translate: Returns what stands for a path on a worker; other texts as they are.
            declared: Inputs, outputs, logs and benchmarks of jobs. Only values with which one of
                them begins are translated: others may be meant as they are.
        """
        self._translate = translate
        sources = list(_sources(workflow))
        used = sorted({f"{translate(path)}/" for path in declared if path.startswith("/")})
        new: dict[str, str] = {}
        for text in sorted(set().union(*(source.values for source in sources))):
            marked = translate(text)
            place = bisect_left(used, marked)
            if marked != text and place < len(used) and used[place].startswith(marked):
                new[text] = marked
        # By what stands for a value, up to a wildcard: the source in which it cannot be translated.
        self._origins = {marked.partition("{")[0]: "" for marked in new.values()}
        while True:
            rewritten = {source.name: source.rewrite(new) for source in sources}
            failed = [source for source in sources if rewritten[source.name] is None]
            if not failed:
                break
            # Snakemake merges sources: a value has to be the same in all of them.
            for source in failed:
                for text in (source.values | source.keys) & new.keys():
                    self._origins[new.pop(text).partition("{")[0]] = source.name
        changed = {
            source.name: parts
            for source in sources
            if (parts := rewritten[source.name]) and parts != source.parts
        }
        self.translated = tuple(new)
        self.arguments = changed.pop(_COMMAND_LINE, list(workflow.config_settings.config_args))
        self.copies = {name: text.encode() for name, (text,) in changed.items()}

    def origin(self, path: str) -> tuple[str, str]:
        """Look up which value of the configuration an absolute path begins with.

        Returns:
            What stands for the value on a worker, empty if there is none; and the file or option
            that gives it if it cannot be translated there, otherwise empty.
        """
        marked = f"{self._translate(path)}/"
        for end in range(len(marked), 0, -1):
            if (origin := self._origins.get(marked[:end])) is not None:
                return marked[:end], origin
        return "", ""


@dataclass(frozen=True)
class _Source:
    """A configuration file, or the values of ``--config``.

    Attributes:
        name: Relative path of the file, or the option.
        parts: Its texts.
        load: Reads texts as Snakemake does.
        before: Characters before a value, apart from white space.
        travels: Whether a worker gets a copy of the file.
    """

    name: str
    parts: list[str]
    load: Callable[[list[str]], Any]
    before: str = "\"'[]{},"
    travels: bool = True

    @cached_property
    def config(self) -> Any:
        return self.load(self.parts)

    @cached_property
    def values(self) -> set[str]:
        return set(_texts(self.config))

    @cached_property
    def keys(self) -> set[str]:
        return set(_keys(self.config))

    def rewrite(self, new: Mapping[str, str]) -> list[str] | None:
        """Replace values that stand alone; return None if that changes anything else.

        A value that is also a key is not replaced: keys stay, and it would not be found there.

        Args:
            new: Values and what takes their place.
        """
        if self.keys & new.keys():
            return None
        new = {text: new[text] for text in self.values & new.keys()}
        if not new:
            return self.parts
        if not self.travels:
            return None
        spelled = {spell(old): spell(text) for old, text in new.items() for spell in (str, _json)}
        longest_first = sorted(spelled, key=len, reverse=True)
        pattern = re.compile(
            rf"(?<![^\s{re.escape(self.before)}])"
            rf"(?:{'|'.join(map(re.escape, longest_first))})"
            r"(?![^\s\"'\[\]{},])"
        )
        parts = [pattern.sub(lambda found: spelled[found[0]], part) for part in self.parts]
        try:
            config = self.load([part.replace(WORKDIR, _PROBE) for part in parts])
        except Exception:  # a file may hold Python code (YTE)
            return None
        wanted = {old: text.replace(WORKDIR, _PROBE) for old, text in new.items()}
        return parts if _same(self.config, config, wanted) else None


def _sources(workflow: Any) -> Iterator[_Source]:
    """Yield the configuration that a worker reads."""
    from snakemake.cli import parse_config

    settings = workflow.config_settings
    if given := list(settings.config_args):
        yield _Source(_COMMAND_LINE, given, parse_config, "=\"'[]{},")
    homes = [Path.cwd(), *(Path(str(file)).parent for file in workflow.included)]
    for file in dict.fromkeys(workflow.configfiles):
        # Those of the command line are sent by relative paths, others below these folders only.
        travels = isinstance(file, Path) or any((homes[0] / file).is_relative_to(h) for h in homes)
        # A relative path is relative to the working directory, as it is on a worker.
        path = os.path.relpath(file)
        try:
            text = Path(path).read_bytes().decode()
            source = _Source(path, [text], _load, travels=travels)
            _ = source.values
        except (WorkflowError, OSError, UnicodeDecodeError):
            continue  # it is gone, or a relative path was meant from another folder
        yield source


def _load(parts: list[str]) -> Any:
    from snakemake.common.configfile import load_configfile

    (text,) = parts
    return load_configfile(io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping):
        for item in config.values():
            yield from _texts(item)
    elif isinstance(config, list):
        for item in config:
            yield from _texts(item)


def _keys(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        yield from (key for key in config if isinstance(key, str))
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            yield from _keys(item)


def _same(old: Any, new: Any, wanted: Mapping[str, str]) -> bool:
    """Return whether two configurations are the same, except for the values that were replaced."""
    if type(old) is not type(new):
        return False
    if isinstance(old, Mapping):
        return _same(list(old), list(new), {}) and all(
            _same(item, new[key], wanted) for key, item in old.items()
        )
    if isinstance(old, list):
        return len(old) == len(new) and all(
            _same(*pair, wanted) for pair in zip(old, new, strict=True)
        )
    if isinstance(old, str):
        return bool(wanted.get(old, old) == new)
    return bool(old == new or (old != old and new != new))  # NaN differs from itself
