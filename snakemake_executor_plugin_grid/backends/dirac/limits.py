"""What a DIRAC server takes at most in a job description."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...console.format import duration
from ...model.job import JobSpec, Resources


@dataclass(frozen=True)
class Limits:
    """Bounds of job descriptions, in ``/Operations/…/JobDescription`` of DIRAC's configuration.

    The defaults are those of ``JobModel`` in DIRAC 9.1.

    Attributes:
        min_cpu_time: MinCPUTime.
        max_cpu_time: MaxCPUTime.
        max_priority: MaxPriority.
        max_processors: MaxNumberOfProcessors.
        max_input_data: MaxInputData.
        known: Whether they are those of the server.
    """

    min_cpu_time: int = 100
    max_cpu_time: int = 500_000
    max_priority: int = 10
    max_processors: int = 1024
    max_input_data: int = 500
    known: bool = False


DEFAULT_LIMITS = Limits()


def read_limits(found: Mapping[str, Any]) -> Limits:
    """Read what the client reports; what it does not report keeps its default."""
    names = {field.name for field in fields(Limits)}
    values = {name: int(value) for name, value in found.items() if name in names}
    return Limits(**values, known="max_cpu_time" in values)


def cpu_time(resources: Resources, cpu_power: float, limits: Limits) -> int:
    """Return the CPUTime to ask for, within the limits.

    DIRAC 9.1 compares it to two things. The matcher takes it for the wall-clock time of the job
    times the power of a core in HS06, as that is what slots say of themselves
    (``JobAgent._computeCPUWorkLeft``). The watchdog, where a site has switched its limit on,
    takes it for the CPU seconds of all processes together, not scaled
    (``Watchdog.__checkCPULimit``, which allows 20 % more). So it has to be enough for either.

    Args:
        resources: With ``runtime_s``.
        cpu_power: HS06 of one core.
        limits: Of the server.
    """
    wanted = _wanted(resources, cpu_power)
    return math.ceil(min(max(wanted, limits.min_cpu_time), limits.max_cpu_time))


class RunTimes:
    """Warns, once for each rule, of jobs that cannot ask for all of their run time."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Warn by a function that shows a line to the user."""
        self._say = say
        self._warned: set[str] = set()

    def check(self, spec: JobSpec, cpu_power: float, limits: Limits) -> None:
        """Warn of a job; the arguments are those of `cpu_time`."""
        wanted = _wanted(spec.resources, cpu_power)
        if wanted <= limits.max_cpu_time or spec.rule in self._warned:
            return
        self._warned.add(spec.rule)
        whose = "the server takes" if limits.known else "servers of DIRAC by default take"
        enough = limits.max_cpu_time / max(cpu_power, spec.resources.processors)
        self._say(
            f"rule {spec.rule}: its runtime of {duration(spec.resources.runtime_s or 0)} needs "
            f"CPUTime {math.ceil(wanted)} (--grid-dirac-cpu-power {cpu_power:g}), but {whose} at "
            f"most {limits.max_cpu_time}. It is submitted with that, enough for "
            f"{duration(enough)}: a site may end the job then."
        )


def _wanted(resources: Resources, cpu_power: float) -> float:
    return (resources.runtime_s or 0) * max(cpu_power, resources.processors)
