"""What the grid has failed so far, which decides what is submitted, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..model.tracked import Outcome, TrackedJob
from ..resilience.circuit_breaker import CircuitBreaker
from ..resilience.site_bans import SiteBans


@dataclass(frozen=True)
class Faults:
    """Counts faults of the grid: by site, by reason, and by job.

    Attributes:
        sites: Bans sites.
        breaker: Pauses submission.
        retries: How often a job is submitted again that the grid has failed.
        say: Shows a line to the user.
    """

    sites: SiteBans
    breaker: CircuitBreaker
    retries: int
    say: Callable[[str], None]

    def none(self, job: TrackedJob, outcome: Outcome) -> None:
        """Note that a job has succeeded, or has failed by itself."""
        site = job.status.site or outcome.site
        self.sites.fine(site)
        self.breaker.fine(job.name, site)

    def note(self, job: TrackedJob, outcome: Outcome, *, ending: bool) -> bool:
        """Note that the grid has failed a job.

        Args:
            job: The job; it is made ready to be submitted again.
            outcome: Says how it has failed.
            ending: Whether the run is ending, so that nothing is submitted any more.

        Returns:
            Whether to submit the job again.
        """
        site = job.status.site or outcome.site
        self.sites.fault(site)
        costs = self.breaker.fault(job.name, outcome.reason or job.status.detail, site)
        if ending or (costs and job.charged >= self.retries):
            return False
        budget = f"{job.charged + 1} of at most {self.retries} times" if costs else "at no cost"
        self.say(f"{outcome.message.splitlines()[0]} Sending it again ({budget}).")
        job.submit_again(site, costs=costs)
        return True
