"""Runs DIRAC's own tools for files on storage elements, in the Python that has them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from ..processes import KilledError, die_with_parent

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PYTHON = "SNAKEMAKE_GRID_DIRAC_PYTHON"
"""Variable that names the Python that has DIRAC, where its commands are not on the PATH."""
_COMMAND = "dirac-dms-get-file"
_TIME_LIMIT = 3600.0  # seconds for each file
_LAST_WORDS = 2048  # bytes of the program's output that are read
_LAST_LINES = 3


class NoDiracError(Exception):
    """The node has no DIRAC."""


def move(
    scratch: Path,
    *,
    get: Sequence[dict[str, Any]] = (),
    put: Sequence[dict[str, Any]] = (),
) -> dict[str, str]:
    """Download and upload files; see `dirac_program`.

    Args:
        scratch: Folder for request, answers and output.
        get: Files to download.
        put: Files to upload.

    Returns:
        The error of each file by its LFN; empty for success.

    Raises:
        NoDiracError: The node has no DIRAC.
    """
    import subprocess

    from . import dirac_program

    source = dirac_program.__loader__.get_source(dirac_program.__name__)  # type: ignore[union-attr]
    request, answers = scratch / "grid-request.json", scratch / "grid-answers.json"
    answers.unlink(missing_ok=True)
    request.write_text(json.dumps({"get": list(get), "put": list(put)}))
    command = [_python(), "-c", str(source), str(request), str(answers)]
    with (scratch / "grid-dirac.log").open("w+b") as output:
        # The worker has one thread here, so preexec_fn is safe.
        process = subprocess.Popen(
            command,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        limit = _TIME_LIMIT * (len(get) + len(put))
        try:
            code = process.wait(limit)
            how = f"DIRAC's tools ended with exit code {code}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            how = f"DIRAC's tools took longer than {limit:g} s"
        except KilledError:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        try:
            found: dict[str, str] = json.loads(answers.read_text())
        except (OSError, ValueError):
            output.seek(max(0, output.seek(0, os.SEEK_END) - _LAST_WORDS))
            lines = output.read().decode(errors="replace").split("\n")
            said = " | ".join([line.strip() for line in lines if line.strip()][-_LAST_LINES:])
            found = dict.fromkeys((one["lfn"] for one in (*get, *put)), f"{how}: {said}")
    return found


def _python() -> str:
    """Return the Python that has DIRAC: named by a variable, or the one beside its commands."""
    import shutil

    named = os.environ.get(PYTHON)
    if named and os.access(named, os.X_OK):
        return named
    command = shutil.which(_COMMAND)
    if command is None:
        raise NoDiracError(f"the worker node has no {_COMMAND}")
    beside = Path(command).resolve().with_name("python")
    if beside.exists():
        return str(beside)
    with open(command, errors="replace") as stream:  # noqa: PTH123
        first = stream.readline().strip()
    return first[2:].strip() if first.startswith("#!/") and " " not in first else "python3"
