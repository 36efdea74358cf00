"""How the job's command gets its Snakemake on the worker node: the `--grid-runtime` of a job.

A command refers to the interpreter as `"$GRID_PYTHON"`. The shell script made by `script` sets
that variable, `payload_argv` says how to start the script, on the node or in a container.

What is said here of Apptainer is from the user guide and the sources of Apptainer 1.2 (the
`SINGULARITYENV_` rules from the guide of 1.0). No container engine was run to check it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

KINDS = ("inherit", "setup", "container", "wheels")
ENGINES = ("apptainer", "singularity")

SETUP_FAILED = 90
"""Exit code of a script whose setup lines failed."""
PYTHON_MISSING = 91
"""Exit code of a script that found no Python with Snakemake."""

_NAMES = ("python", "python3")
_PROBE_SECONDS = 60
_RUNS_SNAKEMAKE = "-m snakemake"
# The engine sets these to what the image needs; the node's values would break the image.
_HOST_ONLY = frozenset({"HOME", "LD_LIBRARY_PATH", "PATH"})
_ENGINE_OWN = tuple(f"{engine.upper()}{end}" for engine in ENGINES for end in ("_", "ENV_"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# A workflow may have a folder named snakemake: a spec without an origin is such a folder.
# Runs under any Python, 2.7 included.
_PROBE = """\
import sys
try:
    from importlib.util import find_spec
    found = getattr(find_spec("snakemake"), "origin", None)
except ImportError:
    found = None
print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], "yes" if found else "no"))
"""


class RuntimeMissing(Exception):  # noqa: N818 - the name says what it is
    """The worker node cannot give what the job's `--grid-runtime` needs."""


@dataclass(frozen=True)
class Runtime:
    """What a job says of its runtime.

    Attributes:
        kind: One of `KINDS`.
        setup: Shell lines that run first, for every kind; needed for kind `setup`.
        image: Container image: a path, a folder or a URL such as `docker://…` or `oras://…`.
        engine: `apptainer` or `singularity`, by name or by path.
        engine_options: More options for the engine's `exec`.
        binds: More binds, each `source[:destination[:options]]`.
        python: Kind `wheels`: the Python minor version the packages are for, such as `3.11`.

    Raises:
        ValueError: A field does not fit; the text names the option to change.
    """

    kind: str
    setup: str = ""
    image: str = ""
    engine: str = "apptainer"
    engine_options: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    python: str = ""

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.kind not in KINDS:
            raise ValueError(f"--grid-runtime {self.kind!r}: must be one of {', '.join(KINDS)}.")
        if self.kind == "setup" and not self.setup.strip():
            raise ValueError("--grid-runtime setup needs shell lines in --grid-runtime-setup.")
        if self.kind == "container":
            if not self.image or self.image.startswith("-"):
                raise ValueError(
                    "--grid-runtime container needs a path or a URL such as docker://… in "
                    f"--grid-runtime-image, not {self.image!r}."
                )
            if os.path.basename(self.engine) not in ENGINES:  # noqa: PTH119 - a name or a path
                raise ValueError(
                    f"--grid-runtime-engine {self.engine!r}: must be {' or '.join(ENGINES)}, "
                    "or the path of one."
                )
        if self.kind == "wheels" and not re.fullmatch(r"3\.\d+", self.python):
            raise ValueError(
                "--grid-runtime wheels needs a minor version such as 3.11 in "
                f"--grid-runtime-python, not {self.python!r}."
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Runtime:
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is unknown, of the wrong type, or does not fit.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown or "kind" not in data:
            raise ValueError(f"runtime of the job: no kind, or unknown fields {unknown}.")
        values: dict[str, Any] = {}
        for name, value in data.items():
            several = name in ("engine_options", "binds")
            items = value if several else [value]
            if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
                expected = "a list of strings" if several else "a string"
                raise ValueError(f"runtime of the job: {name} must be {expected}, not {value!r}.")
            values[name] = tuple(items) if several else value
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values that JSON knows."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values}


def find_python(kind: str, *, path: str, wanted: str = "", snakemake: bool = False) -> str:
    """Find the interpreter for the job's command on this node.

    Args:
        kind: `wheels`: this interpreter, or one on `path`, whose minor version is `wanted`.
            Otherwise: the first of `python`, `python3` on `path` that is a Python 3.
        path: Folders to look in, as in `PATH`.
        wanted: Python minor version, such as `3.11`; only for `wheels`.
        snakemake: Whether it must have Snakemake; not for `wheels`, which brings its own.

    Returns:
        The path of the interpreter.

    Raises:
        RuntimeMissing: None fits; the text tells what was looked for and found.
    """
    wheels = kind == "wheels"
    names = (f"python{wanted}", "python3", "python") if wheels else _NAMES
    candidates = [shutil.which(name, path=path) for name in names]
    if wheels:
        candidates.insert(0, sys.executable)
    seen = []
    for candidate in dict.fromkeys(filter(None, candidates)):
        found = _probe(candidate)
        if found is None:
            seen.append(f"{candidate} does not run")
            continue
        version, has_snakemake = found
        if wheels:
            fits = version == wanted
        else:
            fits = has_snakemake if snakemake else version.startswith("3.")
        if fits:
            return candidate
        without = " without snakemake" if snakemake and not has_snakemake else ""
        seen.append(f"{candidate} is Python {version}{without}")
    looked = f"Python {wanted}" if wheels else "Python with snakemake" if snakemake else "Python 3"
    advice = (
        "set --grid-runtime-python to what the sites have, or bring a Python with "
        "--grid-runtime container"
        if wheels
        else "bring snakemake with --grid-runtime wheels or container, or source one with "
        "--grid-runtime setup"
    )
    raise RuntimeMissing(
        f"--grid-runtime {kind}: no {looked} on the worker node. Looked for {', '.join(names)} on "
        f"PATH {path!r}; found: {'; '.join(seen) or 'none'}. What to do: {advice}."
    )


def _probe(python: str) -> tuple[str, bool] | None:
    """Return the minor version of an interpreter and whether it has Snakemake, None if it fails."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
        version, snakemake = done.stdout.split()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return version, snakemake == "yes"


def interpreter(runtime: Runtime, command: str, *, path: str) -> str:
    """Return the interpreter to fix in the script, or "" where the script itself must look.

    It must look after setup lines have changed `PATH`, and inside a container. Packages of kind
    `wheels` fit one Python version only, so there the interpreter is fixed whatever the setup.

    Args:
        runtime: The job's runtime.
        command: The job's command; one that runs Snakemake needs a Python that has it.
        path: Folders to look in, as in `PATH`.

    Raises:
        RuntimeMissing: No interpreter on this node fits.
    """
    if runtime.kind == "wheels":
        return find_python("wheels", path=path, wanted=runtime.python)
    if runtime.kind == "container" or runtime.setup.strip() or "GRID_PYTHON" not in command:
        return ""
    return find_python(runtime.kind, path=path, snakemake=_RUNS_SNAKEMAKE in command)


def script(command: str, setup: str, *, python: str = "", packages: str = "") -> str:
    """Return the shell script of a job: setup lines, search for the interpreter, command.

    The setup lines run in bash where there is one, else in sh. They count as failed when they do
    not parse, when they leave the shell, when the last one fails, or when a top-level `.` or
    `source` fails (bash: unless followed by `||`): then the script ends with `SETUP_FAILED`. Any
    other line may fail, as in a shell at the terminal.

    Args:
        command: Shell text, with the interpreter as `"$GRID_PYTHON"`.
        setup: Shell lines to run first; may be empty.
        python: Interpreter to use. If empty and there is no setup, `GRID_PYTHON` of the
            environment; otherwise the first of `python`, `python3` that is a Python 3, and has
            Snakemake if the command runs it. It is looked for only if the command uses it; if
            there is none, the script ends with `PYTHON_MISSING`.
        packages: Folder of kind `wheels`; put in front again after setup lines that may set
            `PYTHONPATH` for themselves.
    """
    parts = ["#!/bin/sh"]
    has_setup = bool(setup.strip())
    if has_setup:
        parts.append(_SETUP.format(setup=shlex.quote(setup), code=SETUP_FAILED))
        if packages:
            parts.append(_PACKAGES.format(folder=shlex.quote(packages)))
    if python:
        parts.append(f"GRID_PYTHON={shlex.quote(python)}\nexport GRID_PYTHON")
    elif "GRID_PYTHON" in command:
        if has_setup:
            parts.append("GRID_PYTHON=")
        strict = _RUNS_SNAKEMAKE in command
        parts.append(
            _SEARCH.format(
                probe=shlex.quote(_PROBE),
                names=" ".join(_NAMES),
                pattern="*yes" if strict else "3.*",
                lack="has snakemake" if strict else "is a Python 3",
                code=PYTHON_MISSING,
            )
        )
    return "\n".join([*parts, command]) + "\n"


# Why each step: sites' setup scripts are mostly written for bash and `source` is no sh word;
# eval keeps a syntax error of the setup from swallowing the rest; the EXIT trap sees setups that
# leave the shell (in sh also a missing file after `.`), the ERR trap sees it in bash. Commands
# inside a sourced file are not judged: BASH_SOURCE is longer there.
_SETUP = """\
if [ -n "${{BASH_VERSION:-}}" ]; then
  set +o posix
elif command -v bash >/dev/null 2>&1; then
  exec bash "$0" "$@"
fi
grid_setup_failed() {{
  trap - EXIT
  echo "grid: the lines of --grid-runtime-setup failed or left the shell (exit code $1)." \\
    "The messages above tell why; correct the lines or choose another --grid-runtime." >&2
  exit {code}
}}
trap 'grid_setup_failed $?' EXIT
if [ -n "${{BASH_VERSION:-}}" ]; then
  trap 'grid_status=$?
    if [ "${{#BASH_SOURCE[@]}}" -le 1 ]; then
      case $BASH_COMMAND in ". "* | "source "*) grid_setup_failed "$grid_status" ;; esac
    fi' ERR
fi
eval {setup}
grid_status=$?
[ "$grid_status" -eq 0 ] || grid_setup_failed "$grid_status"
trap - EXIT
if [ -n "${{BASH_VERSION:-}}" ]; then trap - ERR; fi"""

_PACKAGES = """\
PYTHONPATH={folder}${{PYTHONPATH:+:$PYTHONPATH}}
PATH={folder}/bin:$PATH
export PYTHONPATH PATH
unset PYTHONHOME"""

_SEARCH = """\
if [ -z "${{GRID_PYTHON:-}}" ]; then
  for grid_name in {names}; do
    case "$("$grid_name" -c {probe} 2>/dev/null || true)" in
      {pattern}) GRID_PYTHON=$(command -v "$grid_name"); break ;;
    esac
  done
fi
if [ -z "${{GRID_PYTHON:-}}" ]; then
  echo "grid: none of {names} on PATH ($PATH) {lack}. Correct --grid-runtime-setup" \\
    "or --grid-runtime-image, or choose another --grid-runtime, such as wheels." >&2
  exit {code}
fi
export GRID_PYTHON"""


def payload_argv(
    runtime: Runtime, script_path: str, *, folder: str, cwd: str, env_names: Sequence[str] = ()
) -> list[str]:
    """Return the command line that starts the job's script.

    Args:
        runtime: The job's runtime.
        script_path: Absolute path of the script, below `folder`.
        folder: The job's folder, absolute.
        cwd: Working directory of the command, absolute, below `folder`.
        env_names: Names of the variables that the job is to see.

    Raises:
        RuntimeMissing: A path or name cannot be handed to the container engine.
    """
    if runtime.kind != "container":
        return ["/bin/sh", script_path]
    return container_command(
        runtime, folder=folder, cwd=cwd, env_names=env_names, script=script_path
    )


def container_command(
    runtime: Runtime, *, folder: str, cwd: str, env_names: Sequence[str] = (), script: str
) -> list[str]:
    """Return the `apptainer exec` line of a job's script.

    The values of variables are not in it, as others on the node can read it: they go through
    `container_environment`. `env_names` is only checked.

    From the documentation of Apptainer 1.2, not run here: `--cleanenv` keeps the node's variables
    out; `--home` mounts the job's folder as the home instead of the user's, so that caches of
    Snakemake have a place that can be written; `--bind` takes `source[:destination[:options]]`
    and commas between several; `--pwd` is the working directory (`--cwd` is its newer name).

    Raises:
        RuntimeMissing: `folder` holds `:` or `,`, or a name is none that a shell can export.
    """
    if ":" in folder or "," in folder:
        raise RuntimeMissing(
            f"{folder}: the container engine cannot bind a folder with ':' or ',' in its name. "
            "Use another site, or another --grid-runtime."
        )
    for name in env_names:
        if not _IDENTIFIER.fullmatch(name):
            raise RuntimeMissing(
                f"environment variable {name!r} cannot be handed into a container, which takes "
                "letters, digits and underscores. Rename it in envvars."
            )
    line = [runtime.engine, "exec", "--cleanenv", "--home", folder, "--bind", f"{folder}:{folder}"]
    for bind in runtime.binds:
        line += ["--bind", bind]
    return [*line, "--pwd", cwd, *runtime.engine_options, runtime.image, "/bin/sh", script]


def container_environment(env: Mapping[str, str], engine: str) -> dict[str, str]:
    """Return the variables to give to the engine so that the job sees `env`.

    Add them to the environment that the engine itself runs in. From the documentation of
    Apptainer 1.2, not run here: `APPTAINERENV_NAME` becomes `NAME` in the container, also with
    `--cleanenv`; the value is evaluated by a shell once unless `--no-eval`, here as
    `APPTAINER_NO_EVAL=1`, since engines too old for the option ignore the variable. A
    `singularity` that is Apptainer reads `SINGULARITYENV_` where no `APPTAINERENV_` is set.

    Args:
        env: Names and values. `HOME`, `PATH` and `LD_LIBRARY_PATH` are left out, which belong
            to the image, the settings of the engines, and names that no shell can export.
        engine: As in `Runtime.engine`.
    """
    prefix = os.path.basename(engine).upper()  # noqa: PTH119 - a name or a path
    inside = {
        f"{prefix}ENV_{name}": value
        for name, value in env.items()
        if name not in _HOST_ONLY
        and not name.startswith(_ENGINE_OWN)
        and _IDENTIFIER.fullmatch(name)
    }
    return {**inside, f"{prefix}_NO_EVAL": "1"}


def wheels_environment(env: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return `env` changed so that Python and its child processes find the packages in `folder`.

    The node's own `PYTHONPATH` and `PYTHONHOME` and the user's site-packages are kept out: they
    are for another Python more often than not.
    """
    kept = {name: value for name, value in env.items() if name != "PYTHONHOME"}
    path = os.pathsep.join(part for part in (f"{folder}/bin", env.get("PATH", "")) if part)
    return {**kept, "PATH": path, "PYTHONPATH": folder, "PYTHONNOUSERSITE": "1"}
