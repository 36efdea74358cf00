"""Decides which jobs go together into one grid job, by pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...model.bundle_size import AUTO, MOST, OFF
from ...model.job import JobSpec, Resources
from ...model.names import JobName
from ..base import Payload

_RESERVE = 1.5
"""The share of their usual time that the jobs of a bundle get."""

Expected = Callable[[JobSpec], float | None]
"""Returns the seconds that a job takes on the worker, None if that is not known."""


@dataclass(frozen=True)
class Policy:
    """How jobs are bundled.

    Attributes:
        size: `OFF`, `AUTO`, or a number of jobs as text; the resource ``grid_bundle`` of a rule
            overrides it.
        seconds: Run time of a bundle at which `AUTO` aims.
        processors: Processors of a bundle, on which its jobs run side by side; None for those of
            one job.
        spread: Number of grid jobs that `AUTO` makes before bundles become larger; see `Slots`.
    """

    size: str = OFF
    seconds: float = 1800.0
    processors: int | None = None
    spread: int = 20

    def size_of(self, spec: JobSpec) -> str:
        """Return the size that applies to a job."""
        return spec.overrides.get("bundle", self.size)

    def side_by_side(self, resources: Resources) -> int:
        """Return how many jobs that ask for such resources run at a time in a bundle."""
        return max(1, (self.processors or 1) // resources.processors)


def pack(payloads: Sequence[Payload], policy: Policy, expected: Expected) -> list[list[Payload]]:
    """Divide jobs into bundles; one that stays alone is a list of one.

    Only jobs that ask for the same go together. A job that was sent before stays alone: it may be
    what has ended its bundle.

    Args:
        payloads: Jobs that are ready.
        policy: How to bundle them.
        expected: Tells how long a job takes.
    """
    found: list[list[Payload]] = []
    kinds: dict[str, list[Payload]] = {}
    for payload in payloads:
        size = policy.size_of(payload.spec)
        if size == OFF or JobName.parse(payload.spec.name).resubmissions:
            found.append([payload])
        else:
            kinds.setdefault(f"{size} {_kind(payload)}", []).append(payload)
    for alike in kinds.values():
        size = policy.size_of(alike[0].spec)
        if size == AUTO:
            found += _aimed(alike, policy, expected)
        else:
            found += [alike[i : i + int(size)] for i in range(0, len(alike), int(size))]
    return found


def combined(specs: Sequence[JobSpec], policy: Policy, expected: Expected) -> Resources:
    """Return what a bundle of jobs that ask for the same asks for.

    Its time is the usual one of all its jobs and half of that again, and the limit of one job; at
    most the sum of the limits.
    """
    one = specs[0].resources
    count = min(len(specs), policy.side_by_side(one))
    runtime = one.runtime_s
    if runtime is not None:
        rounds = math.ceil(len(specs) / count)
        usual = [expected(spec) for spec in specs]
        runtime *= rounds
        if all(seconds is not None for seconds in usual):
            known = sum(filter(None, usual)) * _RESERVE / count
            runtime = min(runtime, (one.runtime_s or 0) + known)
    return replace(
        one,
        processors=one.processors * count,
        memory_mb=None if one.memory_mb is None else one.memory_mb * count,
        disk_mb=None if one.disk_mb is None else one.disk_mb * count,
        gpus=one.gpus * count,
        runtime_s=runtime,
    )


def _aimed(alike: Sequence[Payload], policy: Policy, expected: Expected) -> list[list[Payload]]:
    """Fill bundles up to the time that is aimed at; jobs of unknown length stay alone."""
    room = policy.seconds * policy.side_by_side(alike[0].spec.resources)
    most = min(MOST, math.ceil(len(alike) / policy.spread))
    found: list[list[Payload]] = []
    left = 0.0
    for payload in alike:
        spec = payload.spec
        seconds = expected(spec)
        if seconds is None:
            seconds = spec.resources.runtime_s or math.inf
        if not found or seconds > left or len(found[-1]) >= most:
            found.append([])
            left = room
        found[-1].append(payload)
        left -= seconds
    return found


def _kind(payload: Payload) -> str:
    """Return what the jobs of a bundle have in common, as text."""
    spec = payload.spec
    return json.dumps([sorted(spec.overrides.items()), repr(spec.resources), sorted(payload.avoid)])
