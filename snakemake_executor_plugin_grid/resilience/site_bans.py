"""Bans sites that fail several jobs in a row, for the rest of the run."""

from __future__ import annotations

from collections.abc import Callable

_FAULTS_IN_A_ROW = 3


class SiteBans:
    """Counts the faults of each site.

    Attributes:
        banned: Sites that should get no more jobs.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Start without faults.

        Args:
            say: Shows a line to the user.
        """
        self._say = say
        self._faults: dict[str, int] = {}
        self.banned: set[str] = set()

    def fine(self, site: str) -> None:
        """Note that at a site a job has succeeded, or failed for a reason of its own."""
        self._faults.pop(site, None)

    def fault(self, site: str) -> None:
        """Note that a job has failed because of a site; the site is empty if unknown."""
        if not site or site in self.banned:
            return
        self._faults[site] = self._faults.get(site, 0) + 1
        if self._faults[site] == _FAULTS_IN_A_ROW:
            self.banned.add(site)
            self._say(
                f"site {site} has failed {_FAULTS_IN_A_ROW} jobs in a row: this run sends no more "
                "jobs there, if there are other sites."
            )
