"""Reads what a worker measured; journals of earlier versions hold reports that were not checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..worker.report import STEPS


@dataclass(frozen=True)
class Measured:
    """What a worker measured of one job; None if the report has no such number.

    Attributes:
        times: When each of `STEPS` began, in seconds since the epoch on the worker's clock; in
            their order, and never decreasing.
        run_seconds: How long the payload ran.
        cpu_seconds: Processor time of the payload.
        peak_memory_mb: Largest resident size of any single process, in MB.
        bytes_in: Bytes staged in.
        bytes_out: Bytes staged out.
        grid_in: Bytes that the worker has read on the grid.
        grid_out: Bytes that it has stored there.
        host: Name of the worker node, empty if not known.
        site: Name of the grid site, empty if not known.
        reason: ``success`` or why it failed, empty if there is no report.
    """

    times: Mapping[str, float] = field(default_factory=dict)
    run_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_mb: float | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    grid_in: int = 0
    grid_out: int = 0
    host: str = ""
    site: str = ""
    reason: str = ""


def measured(report: Mapping[str, Any]) -> Measured:
    """Read the fields of a ``worker.report.Report``; ignore values of wrong types."""
    given = report.get("times")
    times: dict[str, float] = {}
    latest = -math.inf
    for step in STEPS:
        time = number(given.get(step)) if isinstance(given, Mapping) else None
        if time is not None:
            times[step] = latest = max(latest, time)
    run = None
    if "running" in times and "staging out" in times:
        run = times["staging out"] - times["running"]
    return Measured(
        times=times,
        run_seconds=run,
        cpu_seconds=_size(report.get("cpu_seconds")),
        peak_memory_mb=_size(report.get("peak_memory_mb")),
        bytes_in=int(_size(report.get("bytes_in")) or 0),
        bytes_out=int(_size(report.get("bytes_out")) or 0),
        grid_in=int(_size(report.get("grid_in")) or 0),
        grid_out=int(_size(report.get("grid_out")) or 0),
        host=_text(report.get("host")),
        site=_text(report.get("site")),
        reason=_text(report.get("reason")),
    )


_LARGEST = 1e15
"""Largest plausible number: no job moves a million GB."""


def number(value: object) -> float | None:
    """Return a plausible number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_LARGEST < value < _LARGEST else None


def _size(value: object) -> float | None:
    size = number(value)
    return size if size is not None and size >= 0 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
