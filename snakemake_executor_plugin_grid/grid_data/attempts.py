"""The guids of files that the attempts of a job write, by which they are told apart."""

from __future__ import annotations

import uuid
from dataclasses import replace

from ..model.names import JobName
from ..worker.grid_files.records import GridOutput

_GUIDS = uuid.UUID("5f3e8a2c-7f0d-4a86-9b1e-2d6c4f5b7a90")
"""Name space of the guids of outputs on the grid."""


def of_attempt(output: GridOutput, name: str) -> GridOutput:
    """Return an output with the guids of this submission of its job, and of earlier ones.

    Args:
        output: As it was planned.
        name: Unique name of the submission.
    """
    this = JobName.parse(name)
    guids = [
        str(uuid.uuid5(_GUIDS, f"{replace(this, resubmissions=count)} {output.query}")).upper()
        for count in range(this.resubmissions + 1)
    ]
    return replace(output, guid=guids[-1], may_replace=tuple(guids[:-1]))


def has_no_catalog(output: GridOutput) -> bool:
    """Return whether an output goes to a server without a catalog, so that its name is its URL."""
    return output.url == output.query and not output.url.startswith("lfn:")


def parts(output: GridOutput, name: str) -> list[str]:
    """Return the URLs under which the attempts of a job may have left parts of an output."""
    if not has_no_catalog(output):
        return []
    this = of_attempt(output, name)
    return [replace(this, guid=guid).part for guid in (*this.may_replace, this.guid)]
