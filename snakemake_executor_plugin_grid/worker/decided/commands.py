"""Composes the command line of a shell command, as `snakemake.shell.shell` of Snakemake 9.27 does.

Prefix and suffix, environment modules, a script file for long commands, and a container around it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from ..description import FolderError
from ..records import dataclass, field, replace
from .decision import PYTHON, SCRIPT, Command, Step
from .errors import lacking
from .marks import fill_command, fill_path, fill_script
from .place import Place
from .search import find_python, find_shell, quoted, which

LONGEST = 16 * 4096 - 1
"""``snakemake.shell.MAX_ARG_LEN``: bytes of a longer command go through a script file."""
SHIM = "GRID_SHIM"
"""Variable with the folder of the stand-in for the package ``snakemake``."""
_SCRIPTS = ".snakemake/scripts"
# The shell of the command looks for it: after modules are loaded, and in the container.
_ANY_PYTHON = '"$(command -v python3 || command -v python || echo python3)"'
_PYTHON_OF_IMAGE = '"$(command -v python || command -v python3 || echo python)"'


@dataclass
class Line:
    """A command, ready to be started.

    Attributes:
        argv: Path of the program, arguments.
        env: Its environment.
        files: Files that were written for it, to be removed afterwards.
        began: File that is there once the command began, after setup lines; empty without those.
    """

    argv: list[str]
    env: dict[str, str]
    files: list[str] = field(default_factory=list)
    began: str = ""

    @property
    def has_begun(self) -> bool:
        """Whether the command itself was reached; setup lines may fail, or replace the shell."""
        return not self.began or os.path.exists(self.began)

    def clean(self) -> None:
        """Remove the files."""
        for path in self.files:
            with contextlib.suppress(OSError):
                os.remove(path)
        self.files.clear()


def compose(command: Command, step: Step, place: Place) -> Line:
    """Write the files of a command, and return its command line.

    Raises:
        StepError: The node lacks a program.
        FolderError: The value of a mark cannot stand where the mark does.
        OSError: Disk full, and the like.
    """
    line = Line([], place.environment(step))
    try:
        _compose(line, command, step, place)
    except BaseException:
        line.clean()
        raise
    return line


def _compose(line: Line, command: Command, step: Step, place: Place) -> None:
    values = place.values(step)
    text = command.text
    texts = text + (command.script.text if command.script else "")
    if PYTHON in texts:
        text = _set_python(text, values, step, place)
    if command.script:
        content = fill_script(command.script.text, values)
        path = _write(_SCRIPTS, command.script.name, content, 0o600)
        line.files.append(path)
        values[SCRIPT] = _usable(path, place.cwd)
        if command.script.uses_snakemake:
            from .engine import VARIABLE_PREFIXES
            from .shim import unpack_shim

            for name in ("", *VARIABLE_PREFIXES):
                line.env[name + SHIM] = unpack_shim(place.scratch)
    shell = step.shell
    text = fill_command(shell.prefix + text + shell.suffix, values).strip()
    text = fill_command(shell.modules, values) + text
    contained = step.container is not None or place.in_container
    program = _shell_inside(step) if contained else find_shell(shell.executable, place.path)
    if len(os.fsencode(text.replace("'", "'\\''"))) + 2 > LONGEST:
        path = _write(".snakemake", "shell.sh", text + "\n", 0o700)
        line.files.append(path)
        text = f'"{program}" {quoted(path)}'
    if step.container is not None:
        from .engine import engine_line, find_engine

        container = replace(
            step.container,
            image=fill_path(step.container.image, values),
            arguments=fill_command(step.container.arguments, values),
            binds=tuple(fill_path(bind, values) for bind in step.container.binds),
        )
        text = engine_line(
            container,
            text,
            engine=find_engine(place.path),
            shell=program,
            cwd=place.cwd,
            folder=place.scratch,
        )
        line.argv = ["/bin/sh", "-c", text]
    elif place.in_container:
        _enter_container(line, text, program, place)
    else:
        line.argv = [program, "-c", text]


def _set_python(text: str, values: dict[str, str], step: Step, place: Place) -> str:
    """Give `PYTHON` its value: a path, or what the command's own shell finds."""
    if step.container is not None:
        return text.replace(PYTHON, _PYTHON_OF_IMAGE)
    if step.shell.modules or place.in_container:
        return text.replace(PYTHON, _ANY_PYTHON)
    values[PYTHON] = place.wheels_python or find_python(place.path)
    return text


def _shell_inside(step: Step) -> str:
    """Return the name of the shell in the image, where nothing is known of its path."""
    return os.path.basename(step.shell.executable) or "sh"


def _enter_container(line: Line, text: str, program: str, place: Place) -> None:
    """Run a command in the image of the whole job, after its setup lines."""
    from ..container import container_command, container_environment
    from ..environment import without_bash
    from ..payload_script import script as payload_script
    from ..runtime import RuntimeMissing

    runtime = place.runtime
    engine = runtime.engine
    if "/" not in engine and not (engine := which(engine, place.path)):
        raise lacking(f"the worker node has no {runtime.engine}; see --grid-runtime")
    command = f"exec {quoted(program)} -c {quoted(text)}"
    if runtime.setup.strip():
        line.began = _write(".snakemake", "began", "", 0o600)
        os.remove(line.began)
        line.files.append(line.began)
        command = f": > {quoted(line.began)} || exit; {command}"
    path = _write(".snakemake", "command.sh", payload_script(command, runtime.setup), 0o700)
    line.files.append(path)
    try:
        line.argv = container_command(
            replace(runtime, engine=engine),
            folder=place.scratch,
            cwd=place.cwd,
            env_names=sorted(place.env),
            script=path,
        )
    except RuntimeMissing as error:
        raise lacking(str(error)) from error
    env = without_bash(line.env)
    line.env = {**env, **container_environment(env, engine)}


def _usable(path: str, cwd: str) -> str:
    """Return a path as a command can name it: absolute, as in Snakemake, if it needs no quotes."""
    try:
        fill_command(SCRIPT, {SCRIPT: path})
    except FolderError:
        return os.path.relpath(path, cwd)
    return path


def _write(folder: str, name: str, text: str, mode: int) -> str:
    """Write a file with a new name below ``.snakemake``; return its absolute path."""
    os.makedirs(folder, exist_ok=True)
    plain = "".join(one if one.isalnum() or one in "._-" else "_" for one in name)
    while True:
        path = os.path.abspath(f"{folder}/{os.urandom(4).hex()}.{plain}")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
        return path


def filled(step: Step, values: Mapping[str, str]) -> Step:
    """Return a step with paths in the place of marks, except in its commands."""

    def each(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(fill_path(path, values) for path in paths)

    return replace(
        step,
        inputs=each(step.inputs),
        awaited=each(step.awaited),
        logs=each(step.logs),
        outputs=tuple(replace(one, path=fill_path(one.path, values)) for one in step.outputs),
        benchmark=step.benchmark
        and replace(step.benchmark, path=fill_path(step.benchmark.path, values)),
    )
