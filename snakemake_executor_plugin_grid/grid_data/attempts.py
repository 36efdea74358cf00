"""The guids of files that the attempts of a job write, by which they are told apart."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace

from ..model.names import JobName
from ..worker.grid_files.records import GridOutput

_GUIDS = uuid.UUID("5f3e8a2c-7f0d-4a86-9b1e-2d6c4f5b7a90")
"""Name space of the guids of outputs on the grid."""


def of_attempt(output: GridOutput, name: str, before: Iterable[str] = ()) -> GridOutput:
    """Return an output with the guids of this submission, and of those before it.

    Args:
        output: As it was planned.
        name: Unique name of the submission.
        before: Names of other submissions that may have stored this output: those of Snakemake's
            retries, and of earlier runs.
    """
    this = JobName.parse(name)
    own = [str(replace(this, resubmissions=count)) for count in range(this.resubmissions)]
    names = [one for one in dict.fromkeys([*before, *own]) if one != name]
    guids = tuple(_guid(one, output) for one in names)
    return replace(output, guid=_guid(name, output), may_replace=guids)


def _guid(name: str, output: GridOutput) -> str:
    return str(uuid.uuid5(_GUIDS, f"{name} {output.query}")).upper()


def has_no_catalog(output: GridOutput) -> bool:
    """Return whether an output goes to a server without a catalog, so that its name is its URL."""
    return output.url == output.query and not output.url.startswith("lfn:")


def parts(output: GridOutput, name: str) -> list[str]:
    """Return the URLs under which the attempts of a job may have left parts of an output."""
    if not has_no_catalog(output):
        return []
    this = of_attempt(output, name)
    return [replace(this, guid=guid).part for guid in (*this.may_replace, this.guid)]
