from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.resilience.site_bans import SiteBans


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def sites(said: list[str]) -> SiteBans:
    return SiteBans(said.append)


def test_a_site_is_banned_after_three_faults_in_a_row(sites: SiteBans, said: list[str]) -> None:
    for _ in range(2):
        sites.fault("A")
    assert (sites.banned, said) == (set(), [])
    for _ in range(4):
        sites.fault("A")
    assert sites.banned == {"A"}
    assert len(said) == 1
    assert said[0].startswith("site A has failed 3 jobs in a row")


def test_a_job_that_runs_well_clears_its_site_alone(sites: SiteBans) -> None:
    for site in ("A", "A", "B", "B"):
        sites.fault(site)
    sites.fine("A")
    sites.fine("never seen")
    for site in ("A", "A", "B"):
        sites.fault(site)
    assert sites.banned == {"B"}


def test_faults_at_unknown_places_ban_nothing(sites: SiteBans) -> None:
    for _ in range(5):
        sites.fault("")
    assert sites.banned == set()


def test_a_site_is_avoided_only_while_another_one_has_run_a_job(sites: SiteBans) -> None:
    for _ in range(3):
        sites.fault("A")
    assert sites.to_avoid({"B"}) == frozenset()
    sites.runs("A")
    sites.runs("")
    assert sites.to_avoid(set()) == frozenset()
    sites.runs("B")
    assert sites.to_avoid(set()) == {"A"}
    assert sites.to_avoid({"B"}) == frozenset()
    sites.fine("C")
    assert sites.to_avoid({"B"}) == {"A", "B"}
