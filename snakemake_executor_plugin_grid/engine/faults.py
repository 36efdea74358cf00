"""Counts faults of the grid; decides which jobs are resubmitted and which sites they avoid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.names import split_id
from ..model.tracked import Outcome, TrackedJob
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.outages import Outages
from ..resilience.site_bans import SiteBans
from ..worker import report as reports

_BY_SERVERS = ("", reports.OUTPUT_NOT_STORED)
"""Reasons of reports, or none, of faults that a server or store that was down may have caused."""


@dataclass(frozen=True)
class Faults:
    """Counts faults of the grid: by site, by reason, and by job.

    Attributes:
        sites: Bans sites.
        breaker: Pauses submission.
        retries: Maximum number of resubmissions of a job after faults of the grid.
        say: Shows a line to the user.
        outages: Of the run: no site is blamed for what happens in them.
    """

    sites: SiteBans
    breaker: CircuitBreaker
    retries: int
    say: Callable[[str], None]
    outages: Outages
    _bundles: set[str] = field(default_factory=set)

    def to_avoid(self, job: TrackedJob) -> frozenset[str]:
        """Return the sites that the next submission of a job should avoid."""
        return frozenset() if job.anywhere else self.sites.to_avoid(job.avoid)

    def none(self, job: TrackedJob, outcome: Outcome) -> None:
        """Note that a job has succeeded, or failed for a reason of its own."""
        site = job.status.site or outcome.site
        self.sites.fine(site)
        self.breaker.fine(job.name, site)

    def note(self, job: TrackedJob, outcome: Outcome, *, ending: bool) -> bool:
        """Note that a job has failed because of the grid.

        Args:
            job: The job; it is made ready for resubmission.
            outcome: Says how it has failed.
            ending: Whether the run is ending, so that nothing is submitted any more.

        Returns:
            Whether to resubmit the job.
        """
        site, costs = job.status.site or outcome.site, True
        bundle, member = split_id(job.grid_id or "")
        if self.outages.affects(job.accepted) and outcome.reason in _BY_SERVERS:
            site = ""
            self.breaker.gone(job.name)
        elif member and not outcome.reason and bundle in self._bundles:
            self.breaker.gone(job.name)  # the loss of a bundle is one fault of its site
        else:
            if member and not outcome.reason:
                self._bundles.add(bundle)
            self.sites.fault(site)
            costs = self.breaker.fault(job.name, outcome.reason or job.status.detail, site)
        if ending or (costs and job.charged >= self.retries):
            return False
        count = f"{job.charged + 1} of at most {self.retries}" if costs else "does not count"
        self.say(f"{outcome.message.splitlines()[0]} Resubmitting it ({count}).")
        job.submit_again(site, costs=costs)
        return True
