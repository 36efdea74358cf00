"""Which inputs of a job are its input data: DIRAC runs it at a site that has all of these.

A job whose input data have no common site fails at once, and of two files with the same basename
the worker would find one (seen with DIRAC 9.1.22). What is no input data, the worker fetches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...worker.description import OWN_FILES
from ..packaging import JobPackage
from ..placement import place
from .client import Client
from .jdl import takes_lfn

_LFNS_PER_CALL = 1000


class InputData:
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
            replace(one, lfns=_placed(one, sites, most)) if one.grid_files else one
            for one in packages
        ]


def _placed(package: JobPackage, sites: Mapping[str, Sequence[str]], most: int) -> tuple[str, ...]:
    sizes = package.lfn_sizes
    near = {lfn: sites.get(lfn, ()) if _can_be_brought(lfn) else () for lfn in sizes}
    return place(near, most, sizes).input_data


def _can_be_brought(lfn: str) -> bool:
    """Return whether DIRAC can bring a file, and does not put it over what the worker needs."""
    return takes_lfn(lfn) and lfn.rpartition("/")[2] not in OWN_FILES
