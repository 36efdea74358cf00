"""How often a server is asked for the states of jobs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import pytest

from snakemake_executor_plugin_grid.model.state import JobStatus
from tests.unit.fickle import Bench

FREE = pytest.mark.parametrize("bench", [{"longest_pause": math.inf}], indirect=True)
"""The user has not asked for more frequent calls than Snakemake's default."""


def calls(bench: Bench, seconds: float) -> int:
    """Poll as Snakemake does; return how often the server was asked."""
    before = bench.backend.asked
    bench.polls(seconds)
    return bench.backend.asked - before


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server take 3 s for an answer."""
    bench.backend.poll_interval = 15.0
    states = bench.backend.states

    async def slowly(ids: Collection[str]) -> Mapping[str, JobStatus]:
        await bench.clock.sleep(3)
        return await states(ids)

    monkeypatch.setattr(bench.backend, "states", slowly)


@FREE
def test_a_server_is_asked_as_seldom_as_its_backend_says(bench: Bench) -> None:
    bench.backend.poll_interval = 15.0
    bench.submit("j-1")
    bench.goes_on()
    assert 8 <= calls(bench, 150) <= 11
    assert bench.controller.next_poll <= 15


@FREE
@pytest.mark.usefixtures("slow")
def test_a_slow_server_is_asked_less_often(bench: Bench) -> None:
    bench.submit("j-1")
    bench.goes_on()
    assert 8 <= calls(bench, 630) <= 11


@FREE
@pytest.mark.usefixtures("slow")
def test_the_pauses_for_a_slow_server_have_a_limit(bench: Bench) -> None:
    bench.backend.poll_interval = 1.0
    bench.submit("j-1")
    bench.goes_on()
    assert bench.controller.next_poll <= 20
    assert calls(bench, 230) >= 8


@FREE
def test_jobs_that_have_ended_are_reported_between_two_calls(bench: Bench) -> None:
    bench.backend.poll_interval = 1000.0
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.wait_for(lambda: bench.backend.asked > 0)
    assert bench.ended(1)[0].success
    assert bench.controller.next_poll > 500


@pytest.mark.parametrize("bench", [{"longest_pause": 1.0}], indirect=True)
@pytest.mark.usefixtures("slow")
def test_a_user_may_ask_for_more_frequent_calls(bench: Bench) -> None:
    bench.submit("j-1")
    bench.goes_on()
    assert calls(bench, 60) >= 10
