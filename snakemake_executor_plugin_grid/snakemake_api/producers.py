"""Which files rules can make, asked by the storage plugin while Snakemake builds its DAG."""

from __future__ import annotations

import sys
from typing import Any

_REGISTRY = "snakemake.storage"


def workflow_being_parsed() -> Any:
    """Return the workflow for which Snakemake makes a storage provider now; None if there is none.

    Snakemake 9.27 does not tell providers: its ``StorageRegistry``, which calls them, knows it.
    """
    frame = sys._getframe()
    while frame is not None:
        caller: Any = frame.f_locals.get("self")
        if type(caller).__module__ == _REGISTRY:
            return caller.workflow
        frame = frame.f_back  # type: ignore[assignment]
    return None


def is_made(workflow: Any, path: str) -> bool:
    """Return whether a rule makes a file, so that a job for it can be in the DAG."""
    return any(rule.is_producer(path) for rule in workflow.rules)
