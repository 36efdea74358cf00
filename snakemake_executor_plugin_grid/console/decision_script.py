"""Shows a decision as a shell script, which a user can run by hand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ..worker.decided.decision import PYTHON, SCRIPT, TMPDIR, Command, DecidedOutput, Decision, Step
from ..worker.description import WORKDIR
from .format import plural

_SCRIPTS = ".snakemake/scripts"
_END = "END_OF_SCRIPT"
_WORKER = ".snakemake/grid/worker.pyz"
_THREADS = ("OMP", "GOTO", "OPENBLAS", "MKL", "NUMEXPR")


def decision_script(decision: Decision, workdir: Path) -> str:
    """Return a bash script that does by hand what the worker does.

    It shows the commands exactly, with the paths of the submit host in the place of those that only
    the worker knows, and the checks of outputs as comments.

    Args:
        decision: The decision.
        workdir: Working directory of the workflow; the script has to run in it, or in a copy.
    """
    lines = ["#!/bin/bash", "set -e", f"cd {shlex.quote(str(workdir))}"]
    if decision.umask is not None:
        lines.append(f"umask {decision.umask:03o}")
    for number, layer in enumerate(decision.layers, start=1):
        if len(decision.layers) > 1:
            lines += ["", f"# Layer {number} of {len(decision.layers)}"]
        for step in layer:
            lines += ["", *_step(step, together=len(layer) > 1)]
    if decision.temporary:
        lines += ["", f"# Removed when no step needs them: {', '.join(decision.temporary)}"]
    return "\n".join(lines).replace(WORKDIR, str(workdir)) + "\n"


def shown_command(command: Command) -> str:
    """Return the text of a command in one piece, with the name of its script."""
    name = command.script.name if command.script else ""
    return command.text.replace(PYTHON, "python3").replace(SCRIPT, name).strip("\n")


def _step(step: Step, *, together: bool) -> Iterator[str]:
    wildcards = ", ".join(f"{name}={value}" for name, value in step.wildcards)
    title = f"{step.rule} ({wildcards})" if wildcards else step.rule
    yield f"# rule {title}, {plural(step.threads, 'thread')}"
    if together and (step.service or step.awaited or any(one.pipe for one in step.outputs)):
        yield "# (runs at the same time as the other steps of its layer)"
    for name, paths in (
        ("input", step.inputs),
        ("output", [_flagged(output) for output in step.outputs]),
        ("log", step.logs),
        ("benchmark", [step.benchmark.path] if step.benchmark else []),
    ):
        if paths:
            yield f"# {name}: {_comment(', '.join(paths))}"
    made = [one.path for one in step.outputs] + list(step.logs)
    made += [step.benchmark.path] if step.benchmark else []
    folders = dict.fromkeys(str(Path(path).parent) for path in made)
    if wanted := [folder for folder in folders if folder not in (".", "/")]:
        yield f"mkdir -p {shlex.join(wanted)}"
    if pipes := [one.path for one in step.outputs if one.pipe]:
        yield f"mkfifo {shlex.join(pipes)}"
    if not step.commands:
        yield "# It has no command."
    temporary = step.tmpdir or "/tmp"  # noqa: S108 - shown to the user
    variables = {f"{name}_NUM_THREADS": str(step.threads) for name in _THREADS}
    variables["VECLIB_MAXIMUM_THREADS"] = str(step.threads)
    variables |= dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), temporary)
    for number, command in enumerate(step.commands, start=1):
        yield from _command(step, command, number, variables, temporary)
    if touched := [one.path for one in step.outputs if one.touch]:
        yield f"touch {shlex.join(touched)}"


def _command(
    step: Step, command: Command, number: int, variables: dict[str, str], temporary: str
) -> Iterator[str]:
    shell = step.shell
    text = f"{shell.modules}{shell.prefix}{command.text}{shell.suffix}".replace(TMPDIR, temporary)
    text = text.replace(PYTHON, "python3")
    if command.script is not None:
        path = f"{_SCRIPTS}/{number}.{command.script.name}"
        end = _END
        while end in command.script.text:
            end += "_"
        yield f"mkdir -p {_SCRIPTS}"
        yield f"cat >{shlex.quote(path)} <<'{end}'"
        yield command.script.text.replace(TMPDIR, temporary).rstrip("\n")
        yield end
        text = text.replace(SCRIPT, shlex.quote(path))
        if command.script.uses_snakemake:
            yield "# The worker's stand-in for Snakemake, which gives the script its object."
            yield f'stand_in=$(mktemp -d); python3 -m zipfile -e {_WORKER} "$stand_in"'
            yield 'export GRID_SHIM="$stand_in/shim"'
    line = [shell.executable or "/bin/sh", "-c", text]
    settings = [f"{name}={value}" for name, value in variables.items()]
    if step.container is not None:
        container = step.container
        yield f"# The command runs in the container image {container.image}:"
        binds = [word for bind in container.binds for word in ("--bind", bind)]
        words = [*shlex.split(container.arguments), *binds, container.image]
        line = ["apptainer", "exec", *words, *line]
    yield f"env {shlex.join(settings)} \\\n  {shlex.join(line)} </dev/null"


def _flagged(output: DecidedOutput) -> str:
    flags = [
        name
        for name in ("directory", "touch", "protected", "pipe", "service", "nodelocal", "non_empty")
        if getattr(output, name)
    ]
    if output.algorithm:
        flags.append(f"{output.algorithm} {output.checksum}")
    return f"{output.path} ({', '.join(flags)})" if flags else output.path


def _comment(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")
