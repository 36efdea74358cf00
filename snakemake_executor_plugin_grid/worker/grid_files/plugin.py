"""Tells Snakemake on the worker about the job's files on the grid, without catalog or client.

The storage plugin ``grid`` travels in the worker program. Where a process has imported Snakemake,
the plugin is there, too, as both are of the same distribution.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from ..decided import shim
from ..description import Job

FOLDER = "plugin"
"""Folder of the plugin in the worker program."""
VARIABLE = "SNAKEMAKE_GRID_FILES_OF_JOB"
"""Names the file in which the plugin reads what is known; see its ``on_worker``."""
_FILE = "grid-files.json"


def write_known(job: Job, scratch: Path) -> str:
    """Write what the plugin reads; return the path of the file.

    Args:
        job: Runs Snakemake on the worker.
        scratch: Folder of the job.
    """
    files = {one.query: (one.size, one.mtime_ns / 1e9) for one in job.grid_inputs}
    known = {"files": files, "answers": json.loads(job.grid_answers or "{}")}
    file = scratch / _FILE
    file.write_text(json.dumps(known))
    return str(file)


def unpacked(scratch: Path) -> str:
    """Unpack the plugin; return its folder, empty if this process runs from somewhere else."""
    if not zipfile.is_zipfile(shim.ARCHIVE):
        return ""
    target = scratch / FOLDER
    with zipfile.ZipFile(shim.ARCHIVE) as archive:
        for name in archive.namelist():
            if name.startswith(f"{FOLDER}/"):
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))
    return str(target)
