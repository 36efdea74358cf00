"""The options that a run would have, and from where each comes.

They are read as Snakemake reads them, by the same library: the command line goes before variables,
and these before a profile.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import configargparse  # type: ignore[import-untyped]
import yte  # type: ignore[import-untyped]
from snakemake_interface_executor_plugins.registry.plugin import Plugin

from .. import common_settings
from ..journal.database import DATABASE_FILE, FOLDER
from ..journal.reader import History, RunRecord
from ..model.errors import GridError
from ..settings.options import ExecutorSettings

_PREFIX = "--grid-"
_KEYS = tuple(field.name.replace("_", "-") for field in fields(ExecutorSettings))
_PROFILE = re.compile(r"(?:profile|config)(?:\.v(\d+)\+)?\.yaml")
_WORKFLOW_PROFILES = ("profiles/default", "workflow/profiles/default")


class OptionError(GridError):
    """An option cannot be understood."""


@dataclass(frozen=True)
class Chosen:
    """The options of a run.

    Attributes:
        settings: All of them.
        sources: Names of options by where they come from; those with defaults are not among them.
    """

    settings: ExecutorSettings
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Where they come from, in words."""
        parts = [f"{', '.join(names)} from {source}" for source, names in self.sources.items()]
        rest = "all others are defaults" if parts else "all are defaults"
        return f"Options: {'; '.join([*parts, rest])}."


def choose(args: Sequence[str], profiles: Sequence[str], workdir: Path) -> Chosen:
    """Put the options of a run together.

    Options of the last run count where no profile says anything, and where the backend is the same.

    Args:
        args: ``--grid-…`` options; ``grid-`` may be left out.
        profiles: Names or paths of Snakemake's profiles; the later goes before the earlier.
        workdir: Working directory of the workflow.

    Raises:
        OptionError: An option is unknown or has a bad value, or there is no such profile.
    """
    given = [_full(arg) for arg in args]
    files = [_find_profile(profile) for profile in profiles if profile != "none"]
    files += _workflow_profile(workdir)
    noted: dict[str, Any] = {}
    source = f"profile {' and '.join(map(str, files))}"
    for file in files:
        noted |= _read_profile(file)
    run = _last_run(workdir / FOLDER) if not profiles and not noted else None
    if run is not None:
        backend = run.settings.get("backend", "local")
        if _parse(given, {"grid-backend": backend}).settings.backend == backend:
            noted = {f"grid-{key.replace('_', '-')}": value for key, value in run.settings.items()}
            began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
            source = f"the last run ({began})"
    return _parse(given, noted, source)


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]
    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


def _parse(args: Sequence[str], noted: Mapping[str, Any], source: str = "") -> Chosen:
    parser = _Parser(
        add_help=False,
        allow_abbrev=False,
        config_file_parser_class=configargparse.YAMLConfigFileParser,
        ignore_unknown_config_file_keys=True,
    )
    plugin = Plugin(
        executor=None,
        common_settings=common_settings,
        _executor_settings_cls=ExecutorSettings,
        _name="grid",
    )
    # snakemake-interface-common 1.20 has one kind of plugin here, 1.23 tells them apart.
    register = plugin.register_cli_args
    register(parser, *(["executor"] if "plugin_type" in signature(register).parameters else []))
    known = {key: value for key, value in noted.items() if key.removeprefix("grid-") in _KEYS}
    found, rest = parser.parse_known_args(list(args), config_file_contents=json.dumps(known))
    if rest:
        raise OptionError(f"{rest[0]}: there is no such option")
    settings: Any = plugin.get_settings(found)
    sources: dict[str, list[str]] = {}
    on_line = [arg.partition("=")[0] for arg in args if arg.startswith(_PREFIX)]
    for where, values in parser.get_source_to_settings_dict().items():
        if where == "command_line":
            names, where = on_line, "the command line"
        elif where == "environment_variables":
            names, where = list(values), "variables"
        elif where.startswith("config_file"):
            names, where = list(values), source
        else:
            continue
        if names:
            sources[where] = [_short(name) for name in names]
    return Chosen(settings, sources)


def _full(arg: str) -> str:
    """Return an argument with the prefix that its option has in Snakemake."""
    name = arg.removeprefix("--").partition("=")[0]
    return f"{_PREFIX}{arg[2:]}" if arg.startswith("--") and name in _KEYS else arg


def _short(name: str) -> str:
    name = name.removeprefix("SNAKEMAKE_").lower().replace("_", "-")
    return name.removeprefix("--").removeprefix("grid-")


def _find_profile(name: str) -> Path:
    """Return the file of a profile, where Snakemake 9 finds it.

    Raises:
        OptionError: There is none.
    """
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    site = Path((os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0])
    places = [Path(), home / "snakemake", site / "snakemake"]
    for place in places:
        found = _profile_file(place / Path(name).expanduser())
        if found is not None:
            return found
    shown = ", ".join(str(place) for place in places[1:])
    raise OptionError(
        f"--profile {name}: is neither a YAML file nor a folder with a config.yaml, here or in "
        f"{shown}"
    )


def _workflow_profile(workdir: Path) -> list[Path]:
    """Return the profile that Snakemake takes unasked, if there is one."""
    found = (_profile_file(workdir / name) for name in _WORKFLOW_PROFILES)
    return [file for file in found if file is not None][:1]


def _profile_file(path: Path) -> Path | None:
    """Return the file for the newest version of Snakemake that is not newer than this one."""
    if path.is_file():
        return path
    if not path.is_dir():
        return None
    major = int(version("snakemake").partition(".")[0])
    candidates = {
        int(match[1] or 0): file
        for file in path.iterdir()
        if (match := _PROFILE.fullmatch(file.name)) and int(match[1] or 0) <= major
    }
    return candidates[max(candidates)] if candidates else None


def _read_profile(file: Path) -> dict[str, Any]:
    """Return its options of this plugin, as Snakemake reads them.

    Raises:
        OptionError: It cannot be read.
    """
    try:
        with file.open() as stream:
            content = yte.process_yaml(stream, require_use_yte=True)
    except Exception as error:  # a template in it may raise anything
        raise OptionError(f"--profile {file}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"--profile {file}: holds no 'option: value' lines")
    unknown = [key for key in map(str, content) if key.startswith("grid-") and key[5:] not in _KEYS]
    if unknown:
        raise OptionError(f"--profile {file}: there is no option {', '.join(unknown)}")
    return {
        key: _expanded(value, file.parent) if isinstance(value, str) else value
        for key, value in content.items()
        if value is not None and str(key).removeprefix("grid-") in _KEYS
    }


def _expanded(value: str, folder: Path) -> str:
    """Return a value with its variables, and as a path if it names something in the profile."""
    value = os.path.expanduser(os.path.expandvars(value))  # noqa: PTH111 - it may be no path
    try:
        return str(folder / value) if value and (folder / value).exists() else value
    except OSError:  # too long to be a name
        return value


def _last_run(folder: Path) -> RunRecord | None:
    if (folder / DATABASE_FILE).is_file():
        with suppress(GridError), closing(History(folder)) as history:  # the run itself complains
            return next(reversed(history.runs()), None)
    return None
