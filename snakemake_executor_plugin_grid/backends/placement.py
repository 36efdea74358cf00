"""Which inputs a job goes to, and which are fetched to it.

A job with input data runs where all of them have a replica. The system may put them beside each
other in one folder, so no two may have the same last component.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Placement:
    """Where the inputs of a job come from.

    Attributes:
        input_data: Files to which the job goes.
        fetched: Files that the job downloads, wherever they are.
        sites: Where all of ``input_data`` are; empty if there are none.
    """

    input_data: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    sites: frozenset[str] = frozenset()


def place(
    replicas: Mapping[str, Collection[str]],
    most: int,
    sizes: Mapping[str, int] | None = None,
    sites_of: Mapping[str, Collection[str]] | None = None,
    *,
    same_names: bool = False,
) -> Placement:
    """Divide the inputs of a job.

    Args:
        replicas: Storage elements with a replica of each file; none for what is to be fetched.
        most: Number of files that the system takes as input data.
        sizes: Bytes of each file, to move as few as possible; otherwise as few files as possible.
        sites_of: Sites at which a storage element counts as near; otherwise each is a site of its
            own.
        same_names: Whether files with the same last component may be together.

    Returns:
        The largest set of files that one site has, in the order in which they were given. If
        several sites have as much, then that of the first by name.
    """
    weights = {name: 1 if sizes is None else sizes.get(name, 0) for name in replicas}
    near = {name: _sites(elements, sites_of) for name, elements in replicas.items()}
    best: frozenset[str] = frozenset()
    for site in sorted(frozenset().union(*near.values())):
        here = [name for name in replicas if site in near[name]]
        found = (here if same_names else _one_of_each(here, weights))[:most]
        if _value(found, weights) > _value(best, weights):
            best = frozenset(found)
    common = [near[name] for name in replicas if name in best]
    return Placement(
        tuple(name for name in replicas if name in best),
        tuple(name for name in replicas if name not in best),
        frozenset.intersection(*common) if common else frozenset(),
    )


def _sites(
    elements: Collection[str], sites_of: Mapping[str, Collection[str]] | None
) -> frozenset[str]:
    if sites_of is None:
        return frozenset(elements)
    return frozenset(site for element in elements for site in sites_of.get(element, ()))


def _one_of_each(names: Collection[str], weights: Mapping[str, int]) -> list[str]:
    """Return the largest of the files with the same last component, the largest first."""
    chosen: dict[str, str] = {}
    for name in sorted(names, key=lambda name: -weights[name]):  # stable
        chosen.setdefault(name.rpartition("/")[2], name)
    return list(chosen.values())


def _value(names: Collection[str], weights: Mapping[str, int]) -> tuple[int, int]:
    return sum(weights[name] for name in names), len(names)
