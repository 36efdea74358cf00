"""Options of this plugin, as Snakemake's own command line parser reads them."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from ..model.errors import GridError

_PREFIX = "grid-"
# As Snakemake and argparse write them, the latter below a description of all options.
_ERROR = re.compile(r"^(?:Error|[^\n]+: error): (.+)", re.MULTILINE | re.DOTALL)


class OptionError(GridError):
    """Snakemake's parser refuses an option."""


def parse_options(args: Sequence[str], workdir: Path) -> tuple[Any, dict[str, list[str]]]:
    """Read options from a command line, variables and profiles.

    Args:
        args: Command line of Snakemake, without targets.
        workdir: Where Snakemake would be called: it looks there for profiles.

    Returns:
        The settings, and the names of options by their source. Those with defaults are not named.

    Raises:
        OptionError: An option or a profile is unknown or invalid.
    """
    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        if workdir.is_dir():
            stack.enter_context(contextlib.chdir(workdir))
        try:
            from snakemake.cli import parse_args

            parser, found = parse_args(list(args))
            settings = ExecutorPluginRegistry().get_plugin("grid").get_settings(found)
        except SystemExit:
            match = _ERROR.search(said.getvalue())
            words = match[1] if match else "Snakemake would not run a workflow with these options"
            raise OptionError(words.rstrip(".\n")) from None
        except Exception as error:  # as the main function of Snakemake
            raise OptionError(str(error).rstrip(".\n")) from error
    if found.targets:
        raise OptionError(f"{next(iter(found.targets))}: there is no such option")
    return settings, _sources(parser, args)


def _sources(parser: Any, args: Sequence[str]) -> dict[str, list[str]]:
    sources = {}
    for source, values in parser.get_source_to_settings_dict().items():
        kind, _, file = source.partition("|")
        if kind == "command_line":
            name, keys = "the command line", [arg.partition("=")[0] for arg in args]
        elif kind == "environment_variables":
            name, keys = (
                "variables",
                [key.removeprefix("SNAKEMAKE_") for key, (_, text) in values.items() if text],
            )
        elif kind == "config_file":
            name, keys = f"profile {file}", list(values)
        else:
            continue
        plain = [key.lower().replace("_", "-").removeprefix("--") for key in keys]
        if own := [key.removeprefix(_PREFIX) for key in plain if key.startswith(_PREFIX)]:
            sources[name] = own
    return sources
