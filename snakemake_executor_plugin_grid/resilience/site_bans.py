"""Decides which sites jobs avoid: those that failed them, while another site runs jobs."""

from __future__ import annotations

from collections.abc import Callable, Set

_FAULTS_IN_A_ROW = 3
_NO_SITES: frozenset[str] = frozenset()  # one for all jobs


class SiteBans:
    """Counts the faults of each site, and knows which sites run jobs.

    Attributes:
        banned: Sites that failed several jobs in a row: no job should go there, for the rest of the
            run.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Start without faults.

        Args:
            say: Shows a line to the user.
        """
        self._say = say
        self._faults: dict[str, int] = {}
        self._run_jobs: set[str] = set()
        self.banned: set[str] = set()

    def runs(self, site: str) -> None:
        """Note that a job runs at a site, or has lately; the site is empty if unknown."""
        self._run_jobs.update({site} - {""})

    def fine(self, site: str) -> None:
        """Note that at a site a job has succeeded, or failed for a reason of its own."""
        self._faults.pop(site, None)
        self.runs(site)

    def fault(self, site: str) -> None:
        """Note that a job has failed because of a site; the site is empty if unknown."""
        if not site or site in self.banned:
            return
        self._faults[site] = self._faults.get(site, 0) + 1
        if self._faults[site] == _FAULTS_IN_A_ROW:
            self.banned.add(site)
            self._say(
                f"site {site} has failed {_FAULTS_IN_A_ROW} jobs in a row: this run sends no more "
                "jobs there while another site runs its jobs."
            )

    def to_avoid(self, failed: Set[str]) -> frozenset[str]:
        """Return the sites that a job should avoid.

        None if no other site is known to run jobs: the job might have nowhere to go.

        Args:
            failed: Sites that failed this job.
        """
        unwanted = frozenset(failed | self.banned)
        return unwanted if unwanted and self._run_jobs - unwanted else _NO_SITES
