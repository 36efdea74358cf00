from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.resilience.site_bans import Sites


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def sites(said: list[str]) -> Sites:
    return Sites(said.append)


def test_a_site_is_banned_after_three_faults_in_a_row(sites: Sites, said: list[str]) -> None:
    for _ in range(2):
        sites.fault("A")
    assert (sites.banned, said) == (set(), [])
    for _ in range(4):
        sites.fault("A")
    assert sites.banned == {"A"}
    assert len(said) == 1
    assert said[0].startswith("site A has failed 3 jobs in a row")


def test_a_job_that_runs_well_clears_its_site_alone(sites: Sites) -> None:
    for site in ("A", "A", "B", "B"):
        sites.fault(site)
    sites.fine("A")
    sites.fine("never seen")
    for site in ("A", "A", "B"):
        sites.fault(site)
    assert sites.banned == {"B"}


def test_faults_at_unknown_places_ban_nothing(sites: Sites) -> None:
    for _ in range(5):
        sites.fault("")
    assert sites.banned == set()
