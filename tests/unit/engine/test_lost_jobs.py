"""A job is lost when several answers in a row do not list it, and for a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from snakemake_executor_plugin_grid.engine.lost_jobs import LostJobs
from tests.unit.specs import spec, tracked


def test_one_answer_is_not_enough() -> None:
    """Of many jobs, each is asked about less often."""
    now = SimpleNamespace(monotonic=lambda: 1000.0)
    spawned: list[Any] = []
    nothing = cast(Any, None)
    lost = LostJobs(
        cast(Any, SimpleNamespace(clock=now)), 60.0, nothing, nothing, nothing, spawned.append
    )
    job = tracked(spec("a-0123abcd-1"))
    job.named = 100.0
    lost.miss(job)
    assert not job.ended
    lost.miss(job)
    assert job.ended
    (ending,) = spawned
    ending.close()


def test_a_short_silence_is_not_enough() -> None:
    now = SimpleNamespace(monotonic=lambda: 1000.0)
    nothing = cast(Any, None)
    lost = LostJobs(cast(Any, SimpleNamespace(clock=now)), 60.0, *(nothing,) * 4)
    job = tracked(spec("a-0123abcd-1"))
    job.named = 990.0
    for _ in range(5):
        lost.miss(job)
    assert not job.ended
