"""Shows a decision as a shell script, which a user can run by hand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..worker.decided.decision import (
    PYTHON,
    SCRIPT,
    TMPDIR,
    VARIABLE,
    Command,
    DecidedOutput,
    Decision,
    Script,
    Step,
)
from ..worker.description import WORKDIR
from .format import plural

_SCRIPTS = ".snakemake/scripts"
_LONGEST = 1 << 14
"""Characters of a command that is an argument; Linux refuses arguments of 128 KiB and more."""
_END = "END_OF_SCRIPT"
_WORKER = ".snakemake/grid/worker.pyz"
# The variables of `worker/decided/place.py`.
_START = """\
set -e
with_threads() {
  local n=$1
  shift
  env OMP_NUM_THREADS="$n" GOTO_NUM_THREADS="$n" OPENBLAS_NUM_THREADS="$n" \\
    MKL_NUM_THREADS="$n" NUMEXPR_NUM_THREADS="$n" VECLIB_MAXIMUM_THREADS="$n" "$@" </dev/null
}
"""
_VARIABLE = re.compile(rf"{VARIABLE}(\w+)>")


def decision_script(decision: Decision, workdir: Path) -> str:
    """Return a bash script that does by hand what the worker does.

    It shows the commands exactly, with variables in the place of what only the worker knows, and
    the checks of outputs as comments.

    Args:
        decision: The decision.
        workdir: Working directory of the workflow; the script has to run in it, or in a copy.
    """
    lines = ["#!/bin/bash", f"# Run it in {_comment(str(workdir))} or in a copy."]
    lines.append(f"{_START}export TMPDIR={_tmpdir(decision)}")
    lines.append('export TMP="$TMPDIR" TEMP="$TMPDIR" TEMPDIR="$TMPDIR"')
    lines += [f': "${{{name}:?}}"  # of envvars:' for name in _variables(decision)]
    if decision.umask is not None:
        lines.append(f"umask {decision.umask:03o}")
    for number, layer in enumerate(decision.layers, start=1):
        if len(decision.layers) > 1:
            lines += ["", f"# Layer {number} of {len(decision.layers)}"]
        lines += _together(layer) if _is_concurrent(layer) else _in_turn(layer)
    if any(step.service for step in decision.steps):
        lines += ["", "# The services, with all their processes:", 'kill -- "${services[@]/#/-}"']
    if decision.temporary:
        temporary = _comment(", ".join(decision.temporary))
        lines += ["", f"# Removed when no step needs them: {temporary}"]
    return "\n".join(lines) + "\n"


def shown_command(command: Command) -> str:
    """Return the text of a command in one piece, with the name of its script."""
    name = command.script.name if command.script else ""
    return _readable(command.text.replace(SCRIPT, name)).strip("\n")


def _tmpdir(decision: Decision) -> str:
    """Return the shell's text for the folder of temporary files."""
    folder = next((step.tmpdir for step in decision.steps if step.tmpdir), "")
    return _quoted([folder]) if folder else '"${TMPDIR:-/tmp}"'


def _variables(decision: Decision) -> list[str]:
    return sorted(set(_VARIABLE.findall(decision.dumps())))


def _is_concurrent(layer: Iterable[Step]) -> bool:
    return any(
        step.service or step.awaited or any(one.pipe for one in step.outputs) for step in layer
    )


def _in_turn(layer: Iterable[Step]) -> Iterator[str]:
    for step in layer:
        yield ""
        yield from _step(step)


def _together(layer: tuple[Step, ...]) -> Iterator[str]:
    """Yield the lines of steps that run at the same time, as those of a pipe do."""
    yield "# Its steps run at the same time, each in a process group of its own."
    yield from ("set -m", "steps=()")
    if pipes := [one.path for step in layer for one in step.outputs if one.pipe]:
        yield from _folders(pipes)
        yield f"mkfifo {_quoted(pipes)}"
    for step in layer:
        yield ""
        yield "("
        for path in step.awaited:
            yield f"until [ -e {_quoted([path])} ]; do sleep 0.1; done"
        yield from _step(step)
        yield ") &"
        yield "services+=($!)" if step.service else "steps+=($!)"
    yield 'for step in "${steps[@]}"; do wait "$step"; done'
    if pipes:
        yield f"rm {_quoted(pipes)}"


def _step(step: Step) -> Iterator[str]:
    wildcards = ", ".join(f"{name}={value}" for name, value in step.wildcards)
    title = f"{step.rule} ({wildcards})" if wildcards else step.rule
    yield _comment(f"# Rule {title}, {plural(step.threads, 'thread')}")
    for name, paths in (
        ("input", [*step.inputs, *step.awaited]),
        ("output", [_flagged(output) for output in step.outputs]),
        ("log", step.logs),
        ("benchmark", [step.benchmark.path] if step.benchmark else []),
    ):
        if paths:
            yield f"# {name}: {_comment(', '.join(paths))}"
    made = [one.path for one in step.outputs if not one.pipe] + list(step.logs)
    yield from _folders([*made, *([step.benchmark.path] if step.benchmark else [])])
    if not step.commands:
        yield "# It has no command."
    for number, command in enumerate(step.commands, start=1):
        yield from _command(step, command, number)
    if touched := [one.path for one in step.outputs if one.touch]:
        yield f"touch {_quoted(touched)}"


def _folders(paths: Iterable[str]) -> Iterator[str]:
    folders = dict.fromkeys(str(Path(path).parent) for path in paths)
    if wanted := [folder for folder in folders if folder not in (".", "/", WORKDIR)]:
        yield f"mkdir -p {_quoted(wanted)}"


def _command(step: Step, command: Command, number: int) -> Iterator[str]:
    shell = step.shell
    text = f"{shell.prefix}{command.text}{shell.suffix}".strip()
    text = f"{shell.modules}{text}".replace(PYTHON, "python3")
    if command.script is not None:
        path = f"{_SCRIPTS}/{number}.{command.script.name}"
        yield from _script(command.script, path)
        text = text.replace(SCRIPT, shlex.quote(path))
    line = [shell.executable or "/bin/sh", "-c", text]
    if len(text) > _LONGEST:
        path = f"{_SCRIPTS}/{number}.shell.sh"
        yield f"mkdir -p {_SCRIPTS}"
        yield f"printf '%s\\n' {_quoted([text])} >{path}"
        line[1:] = [path]
    if step.container is not None:
        container = step.container
        yield f"# The command runs in the container image {_comment(container.image)}:"
        binds = [word for bind in container.binds for word in ("--bind", bind)]
        words = [*shlex.split(container.arguments), *binds, container.image]
        line = ["apptainer", "exec", *words, *line]
    yield f"with_threads {step.threads} {_quoted(line)}"


def _script(script: Script, path: str) -> Iterator[str]:
    """Yield the lines that write the script of a command."""
    end = _END
    while end in script.text:
        end += "_"
    yield f"mkdir -p {_SCRIPTS}"
    values = [f"s|{mark}|${name}|g" for mark, name in _NAMES.items() if mark in script.text]
    writes = f'sed "{"; ".join(values)}"' if values else "cat"
    yield f"{writes} >{shlex.quote(path)} <<'{end}'"
    yield script.text.removesuffix("\n")
    yield end
    if script.uses_snakemake:
        yield "# The script gets its object from a stand-in for Snakemake; runs leave its file."
        yield f'stand_in=$(mktemp -d); python3 -m zipfile -e {_WORKER} "$stand_in"'
        yield 'export GRID_SHIM="$stand_in/shim"'


_NAMES = {WORKDIR: "PWD", TMPDIR: "TMPDIR"}


def _quoted(words: Iterable[str]) -> str:
    """Return words for the shell, with variables in the place of marks."""
    text = shlex.join(words)  # a mark is always in single quotes, as it contains "<"
    for mark, name in _NAMES.items():
        text = text.replace(mark, f"'\"${name}\"'")
    return _VARIABLE.sub(r"""'"$\1"'""", text).replace("""''"$""", '"$')


def _flagged(output: DecidedOutput) -> str:
    flags = [
        name
        for name in (
            *("directory", "touch", "protected", "pipe", "service", "nodelocal", "update"),
            "non_empty",
        )
        if getattr(output, name)
    ]
    if output.algorithm:
        flags.append(f"{output.algorithm} {output.checksum}")
    return f"{output.path} ({', '.join(flags)})" if flags else output.path


def _comment(text: str) -> str:
    return _readable(text).replace("\n", "\\n").replace("\r", "\\r")


def _readable(text: str) -> str:
    """Return a text with the names of variables in the place of marks."""
    for mark, name in _NAMES.items():
        text = text.replace(mark, f"${name}")
    return _VARIABLE.sub(r"$\1", text).replace(PYTHON, "python3")
