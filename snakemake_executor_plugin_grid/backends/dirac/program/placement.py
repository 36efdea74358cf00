"""Where jobs can run with files as their input data."""

from __future__ import annotations

from collections.abc import Sequence

from .replies import value_of


def input_sites(lfns: Sequence[str]) -> dict[str, list[str]]:
    """Return the sites whose own storage elements have a replica, by file; none for a lost file."""
    from DIRAC.DataManagementSystem.Utilities.DMSHelpers import DMSHelpers
    from DIRAC.Resources.Catalog.FileCatalog import FileCatalog

    found = value_of(FileCatalog().getReplicas(list(lfns)))["Successful"]
    sites = {
        element: value_of(DMSHelpers().getSitesForSE(element, "LOCAL"))
        for element in {element for replicas in found.values() for element in replicas}
    }
    return {
        lfn: sorted({site for element in found.get(lfn, ()) for site in sites[element]})
        for lfn in lfns
    }
