"""The shell script of a job: setup lines, search for what it needs, command."""

from __future__ import annotations

from .interpreter import NAMES, PROBE, RUNS_SNAKEMAKE

SETUP_FAILED = 90
"""Exit code of a script whose setup lines failed."""
PYTHON_MISSING = 91
"""Exit code of a script that found no Python with Snakemake."""
MODULES_MISSING = 92
"""Exit code of a script that found no environment modules."""


def script(
    command: str, setup: str, *, python: str = "", packages: str = "", env_modules: bool = False
) -> str:
    """Return the shell script of a job: setup lines, search for the interpreter, command.

    The setup lines run in bash if the node has it, otherwise in sh. The script ends with
    `SETUP_FAILED` if they cannot be parsed, leave the shell, or if the last one or a top-level
    `.` or `source` fails (in bash: unless followed by `||`). Any other line may fail, as in an
    interactive shell.

    Args:
        command: Shell text, with the interpreter as `"$GRID_PYTHON"`.
        setup: Shell lines to run first; may be empty.
        python: Interpreter to use. If empty and there is no setup, `GRID_PYTHON` of the
            environment; otherwise the first of `python`, `python3` that is a Python 3, and has
            Snakemake if the command runs it. The script searches only if the command uses it, and
            ends with `PYTHON_MISSING` if there is none.
        packages: Folder of kind `wheels`; set again after setup lines, which may change
            `PYTHONPATH`.
        env_modules: Whether the script ends with `MODULES_MISSING` if bash, in which Snakemake runs
            shell commands, has no command `module`. Snakemake 9.27 ignores that it fails.
    """
    import shlex

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
        strict = RUNS_SNAKEMAKE in command
        parts.append(
            _SEARCH.format(
                probe=shlex.quote(PROBE),
                names=" ".join(NAMES),
                pattern="*yes" if strict else "3.*",
                lack="has snakemake" if strict else "is a Python 3",
                code=PYTHON_MISSING,
            )
        )
    if env_modules:
        parts.append(_MODULES.format(code=MODULES_MISSING))
    return "\n".join([*parts, command]) + "\n"


# The reasons: setup scripts of sites are mostly written for bash, and sh has no `source`. With
# eval, a syntax error of the setup does not end the script. The EXIT trap catches setups that
# leave the shell (in sh also a missing file after `.`), the ERR trap a failed `.` or `source` in
# bash; failed commands in a sourced file, where BASH_SOURCE is longer, are ignored.
_SETUP = """\
if [ -n "${{BASH_VERSION:-}}" ]; then
  set +o posix
elif command -v bash >/dev/null 2>&1; then
  exec bash "$0" "$@"
fi
grid_setup_failed() {{
  trap - EXIT
  echo "grid: the lines of --grid-runtime-setup failed or left the shell (exit code $1)." \\
    "See the messages above; correct the lines or choose another --grid-runtime." >&2
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

_MODULES = """\
if ! bash -c 'type module' >/dev/null 2>&1; then
  echo "grid: no command module (environment modules) in the shell of this node." >&2
  exit {code}
fi"""
