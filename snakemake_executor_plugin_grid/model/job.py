"""A grid job as a value: command, inputs, outputs, resources. Independent of the backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..worker.decided.decision import Decision
from ..worker.description import Output
from ..worker.grid_files.records import GridInput, GridOutput
from .names import JobName


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that a job requests.

    Attributes:
        processors: From ``threads``, at least 1.
        memory_mb: From ``mem_mb``, in MB; None if not requested.
        disk_mb: From ``disk_mb``, in MB.
        runtime_s: From ``runtime``, in seconds.
        gpus: From ``gpu``.
    """

    processors: int = 1
    memory_mb: int | None = None
    disk_mb: int | None = None
    runtime_s: float | None = None
    gpus: int = 0


@dataclass(frozen=True)
class JobSpec:
    """One job.

    Attributes:
        name: Unique among all runs, see `JobName`.
        rule: Name of the rule, or of the group.
        wildcards: Names and values.
        jobid: Snakemake's own id.
        attempt: 1 for the first.
        command: Shell line that runs Snakemake, with ``"$GRID_PYTHON"`` as the interpreter; empty
            for a decided job.
        inputs: Paths of files and folders to stage in, as the workflow names them.
        shared: Those inputs that other jobs of the workflow need as well.
        outputs: Files and folders that come back.
        placeholders: Names of temporary outputs that no job needs; the worker may delete them.
        resources: Requested resources.
        environment: Variables that ``envvars:`` names; may contain secrets.
        overrides: Resources named ``grid_…``, without that prefix.
        env_modules: Whether it needs the command ``module`` of environment modules.
        consumed: Names of outputs that are inputs of other jobs of the workflow.
        folders: Names of folders that must exist on both sides, because a path of the job leads
            through them by ``..``.
        marked_files: Names of configuration files in which the worker sets its working directory.
        comparison: What the worker compares with what it is about to do, as JSON text.
        awaited: Paths of outputs as the workflow spells them; Snakemake looks for these.
        decision: What the worker does; None if it runs Snakemake, which needs the sources of the
            workflow.
        grid_inputs: Files on the grid that the worker fetches.
        grid_elements: Storage elements that have each of ``grid_inputs``, by query.
        grid_outputs: Files that the worker stores on the grid.
        grid_answers: What file catalogs have said while the workflow was parsed, as JSON text, for
            jobs that run Snakemake.
        files: Files of a decided job besides its inputs, such as scripts: name in the archives, and
            absolute path.
    """

    name: str
    rule: str
    wildcards: tuple[tuple[str, str], ...]
    jobid: str
    attempt: int
    command: str
    inputs: tuple[str, ...]
    shared: frozenset[str]
    outputs: tuple[Output, ...]
    placeholders: tuple[str, ...]
    resources: Resources
    environment: Mapping[str, str]
    overrides: Mapping[str, str]
    env_modules: bool = False
    consumed: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
    marked_files: tuple[str, ...] = ()
    decision: Decision | None = None
    files: tuple[tuple[str, str], ...] = ()
    grid_inputs: tuple[GridInput, ...] = ()
    grid_outputs: tuple[GridOutput, ...] = ()
    grid_answers: str = ""
    comparison: str = ""
    grid_elements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def title(self) -> str:
        """Rule and wildcards, for messages."""
        return f"rule {title(self.rule, self.wildcards)}"


def title(rule: str, wildcards: Iterable[tuple[str, str]]) -> str:
    """Return the name of a rule with the values of its wildcards."""
    values = ", ".join(f"{key}={value}" for key, value in wildcards)
    return f"{rule} ({values})" if values else rule


def log_file(folder: Path, name: str) -> Path:
    """Return the file with the output of a job: below its run, in a folder of a hundred jobs.

    Older versions have put all files into one folder; one that is there is returned.

    Args:
        folder: Folder of this package, below the working directory.
        name: Unique name of the job.
    """
    old = folder / LOGS / f"{name}.log"
    try:
        job = JobName.parse(name)
        new = folder / LOGS / job.run / str(job.number // _JOBS_PER_FOLDER) / old.name
    except ValueError:  # not a name that a run has given
        return old
    return old if old.exists() else new


LOGS = "logs"
"""Name of the folder with the outputs of jobs."""
_JOBS_PER_FOLDER = 100


ASKED_FOR = ("mem_mb", "disk_mb", "runtime", "gpu")
"""Resources that backends use, besides ``threads`` and those named ``grid_…``."""
NOT_YET = "<TBD>"
"""Snakemake's value of a resource that depends on inputs that do not exist yet."""


def read_resources(threads: int, resources: Iterable[tuple[str, object]]) -> Resources:
    """Return the requested resources, from Snakemake's resources of a job.

    Args:
        threads: Threads of the job; 0 counts as 1.
        resources: Names and values; values that are not numbers are ignored.
    """
    numbers = {
        name: float(value)
        for name, value in resources
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

    def whole(name: str) -> int | None:
        return math.ceil(numbers[name]) if name in numbers else None

    return Resources(
        processors=max(1, threads),
        memory_mb=whole("mem_mb"),
        disk_mb=whole("disk_mb"),
        # Snakemake rounds less than a minute down to 0.
        runtime_s=(numbers["runtime"] or 1) * 60 if "runtime" in numbers else None,
        gpus=whole("gpu") or 0,
    )


def read_overrides(resources: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return the resources named ``grid_…``, without that prefix."""
    return {
        name.removeprefix("grid_"): str(value)
        for name, value in resources
        if name.startswith("grid_") and value not in (None, NOT_YET)
    }


def words(text: str | None) -> tuple[str, ...]:
    """Return the names in an option or resource; commas or blanks separate them."""
    return tuple((text or "").replace(",", " ").split())
