"""Which inputs of a job are its input data: DIRAC runs it at a site that has all of these.

A job whose input data have no common site fails at once, and of two files with the same basename
the worker would find one (seen with DIRAC 9.1.22). What is no input data, the worker fetches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from ..packaging import JobPackage
from .client import Client

_LFNS_PER_CALL = 1000


def choose(
    sizes: Mapping[str, int], sites: Mapping[str, Collection[str]], most: int
) -> tuple[str, ...]:
    """Return the LFNs of the input data: the most bytes that are at one site.

    Args:
        sizes: Bytes of each file, by LFN.
        sites: Those that have each file.
        most: Number of files that a job may have as input data.
    """
    weights: dict[str, tuple[int, int]] = {}
    for lfn, size in sizes.items():
        for site in sites.get(lfn, ()):
            total, count = weights.get(site, (0, 0))
            weights[site] = total + size, count + 1
    if not weights:
        return ()
    best = max(weights, key=lambda site: (weights[site], site))
    chosen: dict[str, str] = {}
    for lfn in sorted(sizes, key=lambda lfn: -sizes[lfn]):
        if best in sites.get(lfn, ()) and len(chosen) < most:
            chosen.setdefault(lfn.rpartition("/")[2], lfn)
    kept = set(chosen.values())
    return tuple(lfn for lfn in sizes if lfn in kept)


class Placement:
    """Sends jobs to the data."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet.

        Args:
            client: Of the installation.
        """
        self._client = client

    async def placed(self, packages: Sequence[JobPackage], most: int) -> list[JobPackage]:
        """Return the jobs with all their input data among ``lfns``; one question for all.

        Args:
            packages: The jobs.
            most: Number of files that a job may have as input data.
        """
        asked = [package for package in packages if package.grid_files]
        lfns = list({lfn: None for one in asked for lfn in one.lfn_sizes})
        sites: dict[str, list[str]] = {}
        for start in range(0, len(lfns), _LFNS_PER_CALL):
            portion = lfns[start : start + _LFNS_PER_CALL]
            sites.update(await self._client.call("input_sites", portion))
        return [
            replace(one, lfns=choose(one.lfn_sizes, sites, most)) if one.grid_files else one
            for one in packages
        ]
