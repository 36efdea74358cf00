"""Starts the payload of a job: Snakemake, or the steps that were decided on the submit host."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from . import processes
from .decided.marks import fill_path
from .decided.place import GRID_PYTHON, RUNTIME, Place
from .decided.runner import carry_out
from .decided.search import command_line, quoted
from .description import ENVIRONMENT_FILE, JOB_FILE, LOG_FILE, WORKDIR, Job, in_folder, load
from .environment import payload_environment, wheels_environment, without_bash
from .tree import Tree

Entry = Callable[["list[str]"], int]
"""Function that runs Snakemake in this process; takes the arguments, returns the exit code."""

PYTHON = '"$GRID_PYTHON"'
SCRATCH = "scratch"
"""Folder, in the sandbox, for what the job needs while it runs."""
TREE = "tree"
"""Folder of inputs and outputs, in `SCRATCH`."""
_BEGAN = "began"
"""File in `SCRATCH` that tells that setup lines are over."""
_HOME = str(Path(__file__).parents[1])
"""Where the package of the worker is: worker.pyz, or a folder."""
# Last in sys.path: other packages beside the worker's must not hide the standard library.
_RUN = (
    "import sys; sys.path.append(sys.argv[1]); from pathlib import Path; "
    f"from {Path(__file__).parent.name}.payload import run_decision; "
    "sys.exit(run_decision(Path(sys.argv[2])))"
)


def plain_argv(command: str) -> list[str] | None:
    """Return the arguments of Snakemake if a shell would only split the line into words.

    Args:
        command: Shell line; must start with ``"$GRID_PYTHON" -m snakemake``.
    """
    import shlex

    prefix = f"{PYTHON} -m snakemake "
    if not command.startswith(prefix):
        return None
    line = command[len(prefix) :]
    quoted = r"""'[^']*'|"[^"$`\\]*\""""
    # A newline outside of quotes ends the command.
    if re.search(r"[^\w \t@%+=:,./-]", re.sub(quoted, "", line)):
        return None
    return shlex.split(line)


def starter(
    job: Job, sandbox: Path, scratch: Path, tree: Tree, entry: Entry | None
) -> Callable[[], int]:
    """Return a function that starts the payload of a job, for `processes.run`.

    Args:
        job: The job.
        sandbox: Folder of ``job.json``; gets the log.
        scratch: Folder for what the job needs while it runs.
        tree: The job's inputs.
        entry: Runs Snakemake in a fork of this process, if Snakemake is imported.

    Raises:
        RuntimeMissing: The node lacks what the runtime needs.
        FolderError: The path of the working directory cannot stand in the command.
    """
    declared = _declared(sandbox)
    env = payload_environment(os.environ, declared, scratch, job.name)
    log = sandbox / LOG_FILE
    if job.decision is not None:
        # Variables that a Snakefile sets may name the working directory.
        env = {name: fill_path(value, {WORKDIR: str(tree.cwd)}) for name, value in env.items()}
        return _decided(job, sandbox, scratch, tree.cwd, env, declared)
    from .comparison import FOLDER, compared_command, comparison_folder, write_comparison
    from .container import container_command, container_environment
    from .interpreter import interpreter
    from .payload_script import script

    plugin = ""
    if job.grid_inputs or job.grid_outputs or job.grid_answers:
        from .grid_files.plugin import VARIABLE, write_known
        from .grid_files.plugin import unpacked as unpacked_plugin

        env[VARIABLE], plugin = write_known(job, scratch), unpacked_plugin(scratch)
    command = in_folder(job.command, tree.cwd)
    script_needed = entry is None or bool(job.runtime.setup) or job.env_modules
    argv = None if script_needed else plain_argv(command)
    write_comparison(job, scratch, tree)
    if entry is not None and argv is not None and job.runtime.kind == "inherit":
        # The same variables as with a shell.
        env.update({"PWD": str(tree.cwd), GRID_PYTHON: sys.executable})
        if job.comparison:
            env[FOLDER] = str(comparison_folder(scratch))
        return processes.fork_starter(entry, argv, tree.cwd, env, log)
    command = compared_command(command, job, scratch)
    runtime = job.runtime
    if runtime.kind == "wheels":
        env = wheels_environment(env, str(scratch / RUNTIME))
    if plugin:
        env["PYTHONPATH"] = ":".join(filter(None, (plugin, env.get("PYTHONPATH", ""))))
    if runtime.kind == "container":
        env = without_bash(env)
        env.update(container_environment(env, runtime.engine))
    python = interpreter(runtime, command, path=env["PATH"])
    packages = str(scratch / RUNTIME) if runtime.kind == "wheels" else ""
    script_path = scratch / "payload.sh"
    script_path.write_text(
        script(
            _after_setup(command, job, scratch),
            runtime.setup,
            python=python,
            packages=packages,
            env_modules=job.env_modules,
        )
    )
    line = _shell_line(script_path, env)
    if runtime.kind == "container":
        line = container_command(
            runtime,
            folder=str(scratch),
            cwd=str(tree.cwd),
            env_names=sorted(env),
            script=str(script_path),
        )
    return processes.starter(line, tree.cwd, env, log)


def _decided(
    job: Job,
    sandbox: Path,
    scratch: Path,
    cwd: Path,
    env: dict[str, str],
    declared: Mapping[str, str],
) -> Callable[[], int]:
    """Return a function that starts the steps of a decision.

    A fork of this process runs them, or, if setup lines have to come first, a new one.

    Raises:
        RuntimeMissing: The node lacks the Python for which packages were sent.
    """
    log = sandbox / LOG_FILE
    in_container = job.runtime.kind == "container"  # setup lines belong into the container
    python = packages = ""
    if job.runtime.kind == "wheels":
        from .interpreter import interpreter

        # Also for jobs without a script: programs of the packages run with it.
        python = interpreter(job.runtime, "", path=env["PATH"])
        packages = str(scratch / RUNTIME)
        env = {**wheels_environment(env, packages), GRID_PYTHON: python}
    if job.env_modules or (job.runtime.setup.strip() and not in_container):
        from .payload_script import script

        line = command_line([sys.executable, "-S", "-I", "-c", _RUN, _HOME, str(sandbox)])
        script_path = scratch / "payload.sh"
        setup = "" if in_container else job.runtime.setup
        line = f"exec {line}" if in_container else _after_setup(f"exec {line}", job, scratch)
        script_path.write_text(
            script(line, setup, python=python, packages=packages, env_modules=job.env_modules)
        )
        return processes.starter(_shell_line(script_path, env), cwd, env, log)
    env["PWD"] = str(cwd)

    def entry(_argv: list[str]) -> int:
        return _carry_out(job, scratch, env, declared)

    return processes.fork_starter(entry, [], cwd, env, log)


def was_reached(job: Job, scratch: Path) -> bool:
    """Return whether the payload began after its setup lines: these can replace the shell."""
    decided_inside = job.decision is not None and job.runtime.kind == "container"
    return not job.runtime.setup.strip() or decided_inside or (scratch / _BEGAN).exists()


def _after_setup(command: str, job: Job, scratch: Path) -> str:
    """Return a command that notes that it began, if setup lines come before it."""
    if not job.runtime.setup.strip():
        return command
    return f": > {quoted(str(scratch / _BEGAN))} || exit\n{command}"


def run_decision(sandbox: Path) -> int:
    """Carry out the decision of the job in a folder; return the exit code.

    The setup lines have run, so the environment is that of the commands.

    Args:
        sandbox: Folder with ``job.json`` and the inputs, which are staged in.

    Raises:
        ValueError: ``job.json`` is damaged.
        OSError: It cannot be read.
    """
    declared = _declared(sandbox)
    return _carry_out(load(sandbox / JOB_FILE), sandbox / SCRATCH, dict(os.environ), declared)


def _declared(sandbox: Path) -> dict[str, str]:
    """Return the variables that travel with a job."""
    return dict(json.loads((sandbox / ENVIRONMENT_FILE).read_text()))


def _carry_out(job: Job, scratch: Path, env: Mapping[str, str], declared: Mapping[str, str]) -> int:
    assert job.decision is not None  # noqa: S101 - for mypy; the callers have looked
    cwd = (scratch / TREE).joinpath(*job.nesting)
    place = Place(job.name, str(scratch), str(cwd), env, job.runtime, declared)
    return carry_out(job.decision, place)


def _shell_line(script_path: Path, env: Mapping[str, str]) -> list[str]:
    import shutil

    # dash does not pass on functions that bash exports.
    bash = shutil.which("bash", path=env["PATH"]) if without_bash(env) != env else None
    return [bash or "/bin/sh", str(script_path)]
