"""Finds the Python interpreter for the job's command on the worker node."""

from __future__ import annotations

import sys

from .runtime import Runtime, RuntimeMissing

NAMES = ("python", "python3")
RUNS_SNAKEMAKE = "-m snakemake"
"""Part of a command that needs a Python with Snakemake."""
_PROBE_SECONDS = 60

# A folder named snakemake in the workflow is found, too; its spec has no origin.
# Runs under any Python, 2.7 included.
PROBE = """\
import sys
try:
    from importlib.util import find_spec
    found = getattr(find_spec("snakemake"), "origin", None)
except ImportError:
    found = None
print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], "yes" if found else "no"))
"""


def find_python(kind: str, *, path: str, wanted: str = "", snakemake: bool = False) -> str:
    """Find the interpreter for the job's command on this node.

    Args:
        kind: `wheels`: this interpreter, or one on `path`, whose minor version is `wanted`.
            Otherwise: the first of `python`, `python3` on `path` that is a Python 3.
        path: Folders to look in, as in `PATH`.
        wanted: Python minor version, such as `3.11`; only for `wheels`.
        snakemake: Whether it must have Snakemake; ignored for `wheels`, which bring it.

    Returns:
        The path of the interpreter.

    Raises:
        RuntimeMissing: None fits; the message lists what was found.
    """
    import shutil

    wheels = kind == "wheels"
    names = (f"python{wanted}", "python3", "python") if wheels else NAMES
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
    import subprocess

    try:
        done = subprocess.run(
            [python, "-c", PROBE],
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
    """Return the interpreter that the script uses, or "" if the script itself must search for it.

    The script searches after setup lines, which may change `PATH`, and inside a container.
    Packages of kind `wheels` fit one Python version only, so they always fix the interpreter.

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
    return find_python(runtime.kind, path=path, snakemake=RUNS_SNAKEMAKE in command)
