"""Chooses the backend of each job, in a run that has several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..backends.base import Backend, Capacity
from ..model.backend_names import allowed_backends
from ..model.job import Resources
from ..model.tracked import Plan
from .controller import Controller


@dataclass(frozen=True)
class Member:
    """A backend of a run.

    Attributes:
        backend: The backend.
        controller: Follows the jobs there.
    """

    backend: Backend
    controller: Controller

    @property
    def name(self) -> str:
        """Name of the backend."""
        return self.backend.name


class _Room:
    """What is free on a backend; there is always some where that is not known."""

    def __init__(self, member: Member) -> None:
        self._capacity = self._free = member.backend.capacity
        if self._capacity is not None:
            for job in member.controller.open_jobs:
                self.take(job.spec.resources)

    def take(self, resources: Resources) -> None:
        free = self._free
        if free is not None:
            self._free = Capacity(
                free.processors - resources.processors,
                free.memory_mb - (resources.memory_mb or 0),
            )

    def has(self, resources: Resources) -> bool:
        """Return whether a job could start now."""
        return _fits(resources, self._free)

    def holds(self, resources: Resources) -> bool:
        """Return whether a job could start if it were alone."""
        return _fits(resources, self._capacity)


def _fits(resources: Resources, room: Capacity | None) -> bool:
    return room is None or (
        resources.processors <= room.processors and (resources.memory_mb or 0) <= room.memory_mb
    )


def choose(plans: Sequence[Plan], members: Sequence[Member]) -> list[Member]:
    """Return the backend of each job; jobs that wait or run there take room as well.

    A job that an earlier run has left stays where it is. Others go to the first backend that they
    allow and that has room now. Backends that this run waits for come last.

    Args:
        plans: The jobs.
        members: Backends of the run, in the order of preference.
    """
    rooms = {member.name: _Room(member) for member in members}
    chosen: dict[str, Member] = {}
    for plan in plans:
        left = [member for member in members if member.controller.recovery.has(plan)]
        if left:
            chosen[plan.spec.name] = left[0]
            rooms[left[0].name].take(plan.spec.resources)
    working = [member for member in members if not member.controller.exhausted]
    calm = [member for member in working if not member.controller.trouble]
    for plan in plans:
        if plan.spec.name in chosen:
            continue
        resources = plan.spec.resources
        names = allowed_backends(plan.spec.overrides.get("backend"), [one.name for one in members])
        some = _first_of([calm, working, members], names)
        member = next((one for one in some if rooms[one.name].has(resources)), None)
        if member is None:  # it has to wait
            member = next((one for one in some if rooms[one.name].holds(resources)), some[0])
        rooms[member.name].take(resources)
        chosen[plan.spec.name] = member
    return [chosen[plan.spec.name] for plan in plans]


def _first_of(choices: Sequence[Sequence[Member]], names: Sequence[str]) -> list[Member]:
    """Return the allowed backends of the first choice that has any, in the order of their names."""
    for members in choices:
        by_name = {member.name: member for member in members}
        if found := [by_name[name] for name in names if name in by_name]:
            return found
    return list(choices[-1])
