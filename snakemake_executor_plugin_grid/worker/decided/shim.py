"""Unpacks the stand-in for the package ``snakemake`` that Python scripts import on the node."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .errors import lacking

FOLDER = "shim"
"""Its folder in the worker program."""
ARCHIVE = Path(__file__).parents[2]
"""The worker program; a process that runs the worker from elsewhere has to set it."""


def unpack_shim(scratch: str) -> str:
    """Unpack it if that was not done yet.

    Args:
        scratch: The job's folder.

    Returns:
        The folder with its files.

    Raises:
        StepError: The worker program has none.
        OSError: Disk full, and the like.
    """
    target = Path(scratch, FOLDER)
    if target.exists():
        return str(target)
    part = Path(scratch, f"{FOLDER}.part")
    part.mkdir()
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = [name for name in archive.namelist() if name.startswith(FOLDER + "/")]
        if not names:
            raise lacking("this worker program has no stand-in for Snakemake; see --grid-decide")
        for name in names:
            path = part / name[len(FOLDER) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(name))
    part.replace(target)
    return str(target)
