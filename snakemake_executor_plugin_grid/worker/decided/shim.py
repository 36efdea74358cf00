"""Unpacks the stand-in for the package ``snakemake`` that Python scripts import on the node."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

FOLDER = "shim"
"""Its folder, beside the package of the worker."""


def unpack_shim(scratch: str) -> str:
    """Unpack it if that was not done yet.

    Args:
        scratch: The job's folder.

    Returns:
        The folder with its files.

    Raises:
        OSError: Disk full, and the like.
    """
    target = Path(scratch, FOLDER)
    if target.exists():
        return str(target)
    part = Path(scratch, f"{FOLDER}.part")
    home = Path(__file__).parents[2]  # worker.pyz, or the package in a source tree
    if home.is_file():
        with zipfile.ZipFile(home) as archive:
            for name in archive.namelist():
                if name.startswith(FOLDER + "/") and not name.endswith("/"):
                    path = part / name[len(FOLDER) + 1 :]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(name))
    else:
        shutil.copytree(home / FOLDER, part, ignore=shutil.ignore_patterns("__pycache__"))
    part.replace(target)
    return str(target)
