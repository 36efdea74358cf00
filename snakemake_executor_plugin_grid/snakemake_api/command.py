"""Parts of the job command, written so that the worker's shell and Snakemake read them right."""

from __future__ import annotations

import inspect
import os
import shlex
from typing import Any

from snakemake_interface_executor_plugins.utils import format_cli_arg

from ..model.errors import GridError


def quote_for_shell(
    command: str, flag: str, values: list[str], new: list[str] | None = None
) -> str:
    """Replace the Python quotes around the values of an option by shell quotes.

    If Snakemake writes the option in another way, the command stays as it is.

    Args:
        command: Command made by Snakemake.
        flag: The option.
        values: Values that Snakemake gives it.
        new: Values to give it instead; an empty list removes the option.
    """
    if not values:
        return command
    old = format_cli_arg(flag, values)
    quoted = [shlex.quote(value) for value in (values if new is None else new)]
    return command.replace(old, " ".join([flag, *quoted]) if quoted else "", 1)


def read_target(text: str) -> dict[str, str] | None:
    """Return the wildcards that Snakemake reads from a value of ``--target-jobs``."""
    from snakemake.target_jobs import parse_target_jobs_cli_args

    try:
        (target,) = parse_target_jobs_cli_args([text])
    except ValueError:
        return None
    return dict(target.wildcards_dict)


def unambiguous_output(job: Any, wildcards: dict[str, str]) -> str:
    """Return an output from which Snakemake derives the same rule and wildcards.

    Raises:
        GridError: There is none.
    """
    for path in job.output:
        if path.is_storage or str(path).startswith(("/", "-")):
            continue
        if job.rule.get_wildcards(str(path)) == wildcards:
            return str(path)
    values = ", ".join(f"{key}={value!r}" for key, value in wildcards.items())
    raise GridError(
        f"the wildcards {values} of rule {job.rule.name} cannot be passed to a worker: Snakemake's "
        "command line allows no comma in a value and no quote at its ends, and no output has a "
        "relative path that has these wildcards only; rename the files"
    )


def named_snakefile(path: str) -> tuple[list[str], list[str]]:
    """Return the Snakefile as Snakemake passes it to a worker, and as the worker finds it."""
    relative = os.path.relpath(path)
    # Snakemake treats a URL as a path, too, which results in "http:/host/Snakefile".
    return [relative], [relative if os.path.exists(path) else path]  # noqa: PTH110


def resources_as_given(command: str, settings: Any) -> str:
    """Pass default and overwritten resources to the worker in the units of the user.

    Snakemake turns ``mem_mib=5`` into ``mem_mb=5`` and drops ``mem=<expression>``.
    """
    defaults = settings._parsed_default_resources
    old, new = list(defaults.args), [_as_given(*item) for item in defaults.items()]
    command = _replace_encoded(command, "--default-resources", old, new)
    rules = settings._parsed_overwrite_resources
    items = [(rule, name, value) for rule, own in rules.items() for name, value in own.items()]
    old = [f"{rule}:{name}={value.raw}" for rule, name, value in items]
    new = [f"{rule}:{_as_given(name, value)}" for rule, name, value in items]
    return _replace_encoded(command, "--set-resources", old, new)


def _as_given(name: str, resource: Any) -> str:
    value = resource._value
    if isinstance(value, int):
        return f"{name}={value}"  # already in the unit of the name
    if callable(value):
        # The function that evaluates an expression of the command line, wrapped by unit conversion.
        given = inspect.getclosurevars(inspect.unwrap(value)).nonlocals
        if isinstance(given.get("value"), str) and "name" in given:
            return f"{given['name']}={given['value']}"
    return f"{name}={resource.raw}"


def _replace_encoded(command: str, flag: str, old: list[str], new: list[str]) -> str:
    if old == new:
        return command
    given = format_cli_arg(flag, new, base64_encode=True)
    if not old:
        return f"{command} {given}"
    return command.replace(format_cli_arg(flag, old, base64_encode=True), given, 1)
