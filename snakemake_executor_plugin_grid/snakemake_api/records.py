"""What Snakemake has recorded of outputs: their code, parameters and input files.

Snakemake records a job that has failed like one that has succeeded, as it deletes the outputs
afterwards. Outputs on the grid that the job did not write stay, and would count as made by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .grid_files import grid_outputs, is_grid_path


def records_of(members: Iterable[Any]) -> list[tuple[Any, Any, Any]]:
    """Return persistence, path and record of each output on the grid; None for no record."""
    return [
        (persistence, path, persistence.metadata(path))
        for member in members
        for persistence in [member.rule.workflow.persistence]
        for path in filter(is_grid_path, member.output)
    ]


def record_again(records: Iterable[tuple[Any, Any, Any]]) -> None:
    """Record what was recorded before.

    Raises:
        OSError: It cannot be recorded.
    """
    for persistence, path, record in records:
        if record is None:
            persistence.cleanup_metadata(path)
        else:
            persistence._clear_cache()
            persistence._write_record(persistence._get_key(path), record)


def protect_outputs(members: Iterable[Any]) -> None:
    """Let the outputs on the grid of jobs that never ran stay, whatever Snakemake removes."""
    for member in members:
        for one in grid_outputs(member):
            one.storage.protect([one.query])
