"""Starts Snakemake with the comparison: see ``snakemake_api/comparison``.

Its modules travel in the worker program. They are written into the job's scratch folder, which
every kind of ``--grid-runtime`` sees, and run by the Python that has Snakemake.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from .description import Job
from .tree import Tree

MODULES = ("__init__", "facts", "placeholders", "plain", "start", "watch")
FOLDER = "GRID_COMPARISON"
"""Variable with the folder of the comparison, for a process that has imported Snakemake."""
_RUNS = '"$GRID_PYTHON" -m snakemake '
_NAME = "grid_comparison"
_EXPECTED = "expected.json"
_PLACEHOLDERS = "placeholders.json"
_DIFFERENCE = "difference.txt"
_LONGEST = 8000  # bytes of a message
_MAIN = """\
import sys
from grid_comparison.start import main
main(sys.path[0], sys.argv[1:])
"""


def comparison_folder(scratch: Path) -> Path:
    """Return where the comparison of a job is, in its scratch folder."""
    return scratch / "comparison"


def write_comparison(job: Job, scratch: Path, tree: Tree) -> None:
    """Write the program that compares, and what it compares with.

    Args:
        job: The job; nothing is written if there is nothing to compare.
        scratch: The job's scratch folder.
        tree: The job's folders.
    """
    if not job.comparison:
        return
    folder = comparison_folder(scratch)
    package = folder / _NAME
    package.mkdir(parents=True)
    for name in MODULES:
        (package / f"{name}.py").write_bytes(_source(name))
    (folder / "__main__.py").write_text(_MAIN)
    # The scratch folder is the job's own, so it stands for the folder above.
    expected = {**json.loads(job.comparison), "folders": len(tree.roots)}
    made = [(str(tree.path(name)), *facts) for name, facts in tree.placeholders.items()]
    (folder / _PLACEHOLDERS).write_text(json.dumps(made))
    path = folder / _EXPECTED
    path.touch(0o600)
    path.write_text(json.dumps(expected))


def compared_command(command: str, job: Job, scratch: Path) -> str:
    """Return a command with the comparison.

    Raises:
        ValueError: It does not run Snakemake, though there is something to compare.
    """
    if not job.comparison:
        return command
    if _RUNS not in command:
        raise ValueError(f"the job's command does not contain {_RUNS!r}")
    start = f'"$GRID_PYTHON" {shlex.quote(str(comparison_folder(scratch)))} -m snakemake '
    return command.replace(_RUNS, start, 1)


def found_difference(scratch: Path) -> str:
    """Return why a job did not run, empty if it was not the comparison."""
    try:
        with (comparison_folder(scratch) / _DIFFERENCE).open("rb") as stream:
            return stream.read(_LONGEST).decode(errors="replace")
    except OSError:
        return ""


def _source(name: str) -> bytes:
    """Return a module's text, from the folder of the package or from the zip archive."""
    path = Path(__file__).parents[1] / "snakemake_api" / "comparison" / f"{name}.py"
    return bytes(__loader__.get_data(str(path)))  # type: ignore[name-defined]
