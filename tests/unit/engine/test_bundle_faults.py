"""The loss of a bundle is one fault of its site, though each of its jobs is sent again."""

from __future__ import annotations

from typing import Any, cast

from snakemake_executor_plugin_grid.engine.faults import Faults
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import Outcome, TrackedJob
from snakemake_executor_plugin_grid.resilience.circuit_breaker import CircuitBreaker
from snakemake_executor_plugin_grid.resilience.outages import Outages
from snakemake_executor_plugin_grid.resilience.site_bans import SiteBans
from tests.unit.specs import spec, tracked


class NoOutages:
    def affects(self, accepted: float) -> bool:
        return False


def lost(name: str, grid_id: str) -> TrackedJob:
    job = tracked(spec(name))
    job.grid_id = grid_id
    job.status = JobStatus(JobState.FAILED, "stalled", "CERN", infrastructure=True)
    return job


def noted(*ids: str, reason: str = "") -> tuple[list[bool], bool]:
    """Return which jobs are sent again, and whether submission pauses."""
    said: list[str] = []
    breaker = CircuitBreaker(said.append)
    faults = Faults(
        SiteBans(said.append), breaker, 3, said.append, cast(Outages, cast(Any, NoOutages()))
    )
    jobs = [lost(f"a-0123abcd-{number}", grid_id) for number, grid_id in enumerate(ids)]
    breaker.submitting(job.name for job in jobs)
    again = [
        faults.note(job, Outcome(job.name, False, "it failed.", reason=reason), ending=False)
        for job in jobs
    ]
    return again, breaker.open


def test_a_lost_bundle_counts_once() -> None:
    assert noted(*(f"5/a-0123abcd-{n}" for n in range(40))) == ([True] * 40, False)


def test_as_many_jobs_alone_end_the_submission() -> None:
    again, is_open = noted(*(str(n) for n in range(40)))
    assert is_open
    assert all(again)


def test_reports_of_jobs_in_a_bundle_count_each() -> None:
    ids = (f"5/a-0123abcd-{n}" for n in range(40))
    _, is_open = noted(*ids, reason="no runtime")
    assert is_open
