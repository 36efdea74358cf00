"""The options that a run would have, and the source of each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..journal.database import DATABASE_FILE, FOLDER
from ..journal.reader import JournalReader
from ..journal.records import RunRecord
from ..model.errors import GridError
from ..settings.options import ExecutorSettings
from ..settings.serialize import from_json, to_json
from ..snakemake_api.options import OptionError, parse_options

_KEYS = tuple(field.name.replace("_", "-") for field in fields(ExecutorSettings))


@dataclass(frozen=True)
class Chosen:
    """The options of a run.

    Attributes:
        settings: All of them.
        sources: Names of options by their source; those with defaults are not named.
    """

    settings: ExecutorSettings
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """The sources in words."""
        parts = [f"{', '.join(names)} from {source}" for source, names in self.sources.items()]
        rest = "all others are defaults" if parts else "all are defaults"
        return f"Options: {'; '.join([*parts, rest])}."


def choose(args: Sequence[str], profiles: Sequence[str], workdir: Path) -> Chosen:
    """Put the options of a run together: command line, then variables, then profiles.

    Without a profile, the options of the last run with the same backend come next.

    Args:
        args: Options of Snakemake; ``grid-`` may be left out.
        profiles: Names or paths of Snakemake's profiles; a later one overrides an earlier one.
        workdir: Working directory of the workflow.

    Raises:
        OptionError: An option or a profile is unknown or invalid.
    """
    for arg in args:
        name = arg.removeprefix("--grid-").partition("=")[0]
        # Snakemake takes abbreviations, which the options of the last run would override.
        if name != arg and name not in _KEYS and any(key.startswith(name) for key in _KEYS):
            raise OptionError(f"--grid-{name}: there is no such option; give its whole name")
    given = []
    for profile in profiles:
        path = Path(profile).expanduser()
        given += ["--profile", str(path.absolute()) if path.exists() else profile]
    settings, sources = parse_options([*given, *map(_full, args)], workdir)
    run = _last_run(workdir / FOLDER) if not profiles and not _from_profile(sources) else None
    named = {name for names in sources.values() for name in names}
    backend = run.settings.get("backend", "local") if run is not None else None
    if run is None or ("backend" in named and settings.backend != backend):
        return Chosen(settings, sources)
    options = {key.replace("_", "-"): key for key in run.settings}
    used = [name for name in options if name in _KEYS and name not in named]
    noted = {options[name]: run.settings[options[name]] for name in used}
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    if used:
        sources[f"the last run ({began})"] = used
    return Chosen(from_json({**noted, **to_json(settings)}), sources)


def _full(arg: str) -> str:
    """Return an argument with the prefix that its option has in Snakemake."""
    name = arg.removeprefix("--").partition("=")[0]
    return f"--grid-{arg[2:]}" if arg.startswith("--") and name in _KEYS else arg


def _from_profile(sources: Mapping[str, Sequence[str]]) -> bool:
    return any(source.startswith("profile ") for source in sources)


def _last_run(folder: Path) -> RunRecord | None:
    if (folder / DATABASE_FILE).is_file():
        with suppress(GridError), JournalReader(folder) as reader:  # the run itself reports it
            return next(reversed(reader.runs()), None)
    return None
