"""A grid job as a value: what runs, what goes in, what comes out. It knows no backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..worker.description import Output


@dataclass(frozen=True)
class Resources:
    """What a job asks for.

    Attributes:
        processors: From ``threads``, at least 1.
        memory_mb: From ``mem_mb``, in MB; None when not asked for.
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
        name: Unique among all runs; safe as a file name and in a JDL.
        rule: Name of the rule, or of the group.
        wildcards: Names and values.
        jobid: Snakemake's own id.
        attempt: 1 for the first.
        command: Shell line that runs Snakemake, with ``"$GRID_PYTHON"`` as the interpreter.
        inputs: Paths to stage in, as the workflow names them: files or folders.
        shared: Those of them that other jobs of the workflow need as well.
        outputs: What comes back.
        placeholders: Names of unneeded temporary outputs, which the worker may delete.
        resources: What it asks for.
        environment: Variables that ``envvars:`` names; may hold secrets.
        overrides: Resources named ``grid_…``, without that prefix.
        consumed: Names of outputs that other jobs of the workflow take as inputs.
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
    consumed: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """Rule and wildcards, for messages."""
        return f"rule {title(self.rule, self.wildcards)}"


def title(rule: str, wildcards: Iterable[tuple[str, str]]) -> str:
    """Return the name of a rule, with the values of its wildcards if it has any."""
    values = ", ".join(f"{key}={value}" for key, value in wildcards)
    return f"{rule} ({values})" if values else rule


def log_file(folder: Path, name: str) -> Path:
    """Return where the output of a job is kept.

    Args:
        folder: Of this package below the working directory.
        name: Unique name of the job.
    """
    return folder / "logs" / f"{name}.log"


ASKED_FOR = ("mem_mb", "disk_mb", "runtime", "gpu")
"""Resources that mean something to a backend, beside ``threads`` and those named ``grid_…``."""
NOT_YET = "<TBD>"
"""Snakemake's value of a resource that depends on inputs which are still to be made."""


def read_resources(threads: int, resources: Iterable[tuple[str, object]]) -> Resources:
    """Read what Snakemake's resources say of a job.

    Args:
        threads: Of the job; 0 counts as 1.
        resources: Names and values; those that are not numbers are ignored.
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
        # Snakemake rounds what is less than a minute down to none.
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


def safe_name(rule: str, run: str, number: int) -> str:
    """Return a unique job name of letters, digits, ``-``, ``_`` and ``.``, 64 at most."""
    kept = "".join(char if char.isalnum() and char.isascii() else "_" for char in rule)
    return f"{kept[:40]}-{run}-{number}"


def words(text: str | None) -> tuple[str, ...]:
    """Return the names in an option or resource, divided by commas or blanks."""
    return tuple((text or "").replace(",", " ").split())
