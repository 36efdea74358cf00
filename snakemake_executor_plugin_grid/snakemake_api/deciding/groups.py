"""Members of a group whose functions may look at files that the group makes.

Snakemake evaluates the functions of ``params``, ``threads`` and ``resources`` of a group's members
on the submit host, before the group runs. A function that reads an absent file gives ``<TBD>``; a
stale file gives a wrong value, silently.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from snakemake.io import is_callable

from .decided import Unsupported
from .unknown import Unknown

_WHY = "a function of its {} may look at files that its group makes"


class Late:
    """The values of a job that may change while its group runs.

    Attributes:
        params: Positions of params that are functions.
        resources: Names of resources that are functions.
    """

    def __init__(self, rule: Any) -> None:
        """Find them.

        Args:
            rule: ``snakemake.rules.Rule`` of a member that has an input made inside the group.

        Raises:
            Unsupported: The number of threads is one of them.
        """
        if rule.resources["_cores"].is_evaluable():
            raise Unsupported(_WHY.format("threads"))
        self._count = len(rule.params)
        self.params = tuple(n for n, value in enumerate(rule.params) if is_callable(value))
        self.resources = tuple(
            name
            for given, resource in rule.resources.items()
            if given != "tmpdir" and resource.is_evaluable()
            for name in _units(given)
        )

    def hide(self, params: Any, resources: Any) -> None:
        """Replace the values by ones that refuse any use.

        Args:
            params: ``snakemake.iocontainers.Params``.
            resources: ``snakemake.iocontainers.ResourceList``.

        Raises:
            Unsupported: The params of the job are not those of its rule, one for one.
        """
        if self.params and len(params) != self._count:
            raise Unsupported(_WHY.format("params"))
        for position in self.params:
            _replace(params, position, Unknown(_WHY.format("params")))
        for name in self.resources:
            if name in resources.keys():  # noqa: SIM118 - a list with names
                position, _ = resources._names[name]
                _replace(resources, position, Unknown(_WHY.format("resources")))


def late_values(job: Any, made_inside: Iterable[str]) -> Late | None:
    """Return the late values of a member of a group, None if it has none.

    Args:
        job: ``snakemake.jobs.Job``.
        made_inside: Outputs of all members.

    Raises:
        Unsupported: The number of threads is one of them.
    """
    if set(made_inside).isdisjoint(map(str, job.input)):
        return None
    late = Late(job.rule)
    return late if late.params or late.resources else None


def refuse_late_scripts(late: Late | None, source: str | None) -> None:
    """Raise `Unsupported` if a script may use late values.

    Args:
        late: Values of its job.
        source: Text of the script, None if it is not known.
    """
    if late is None:
        return
    if late.params:
        raise Unsupported(_WHY.format("params"))
    if source is None or "resources" in source:
        raise Unsupported(_WHY.format("resources"))


def _units(name: str) -> tuple[str, ...]:
    """Return the names under which a job has a resource (``Resources.expand_items``, 9.27)."""
    size = name.removesuffix("_mb")
    return (name,) if size == name else (name, size, f"{size}_mib")


def _replace(items: Any, position: int, value: Any) -> None:
    items[position] = value
    for name, (start, end) in list(items._names.items()):
        if start == position and end is None:
            items._set_name(name, position)
