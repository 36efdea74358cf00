"""The files of a job, with the flags that say what has to be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from snakemake.exceptions import WorkflowError

from ...worker.decided.decision import DecidedOutput
from ..grid_files import is_grid_path
from ..workflow import is_flagged
from .decided import Unsupported


def refuse_storage(paths: Iterable[Any]) -> None:
    """Raise `Unsupported` if only a storage plugin of Snakemake can transfer a file."""
    for path in paths:
        if path.is_storage and not is_grid_path(path):
            raise Unsupported(f"{path} is in a storage, which a plugin of Snakemake transfers")


def output_of(job: Any, path: Any, on_worker: Callable[[str], str]) -> DecidedOutput:
    """Return an output of a job with its flags.

    Args:
        job: ``snakemake.jobs.Job``.
        path: One of its outputs.
        on_worker: Returns a path as the worker finds it.

    Raises:
        WorkflowError: The workflow's function for a checksum fails.
    """
    ensured = path.flags.get("ensure") or {}
    algorithm = _name(ensured.get("checksum_algorithm"))
    return DecidedOutput(
        path=on_worker(str(path)),
        directory=bool(path.is_directory),
        touch=path in job.touch_output,
        protected=path in job.protected_output,
        pipe=is_flagged(path, "pipe"),
        service=is_flagged(path, "service"),
        nodelocal=is_flagged(path, "nodelocal"),
        update=is_flagged(path, "update"),
        non_empty=bool(ensured.get("non_empty")),
        algorithm=algorithm,
        checksum=_checksum(job, ensured["checksum"]) if algorithm else "",
    )


def _name(algorithm: Any) -> str:
    """Return the name of an algorithm; Snakemake 9.17 has a function of ``hashlib`` instead."""
    return str(algorithm().name) if callable(algorithm) else algorithm or ""


def _checksum(job: Any, checksum: Any) -> str:
    """Return an expected checksum, evaluated as ``DAG.handle_ensure`` of Snakemake 9.27 does."""
    if not callable(checksum):
        return str(checksum)
    try:
        return str(checksum(job.wildcards))
    except Exception as error:
        raise WorkflowError(
            "Error calling checksum function provided to ensure marker.", error, rule=job.rule
        ) from error
