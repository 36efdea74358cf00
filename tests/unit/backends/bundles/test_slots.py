from __future__ import annotations

from snakemake_executor_plugin_grid.backends.bundles.slots import Slots
from snakemake_executor_plugin_grid.model.state import JobState

RUNNING, QUEUED, DONE = JobState.RUNNING, JobState.QUEUED, JobState.DONE


def test_grid_jobs_take_slots_until_they_have_ended() -> None:
    slots = Slots(20)
    slots.begin(5)
    assert slots.free == 15
    slots.answered(5, ["1", "2", "3", "4"])  # one was refused
    assert slots.free == 16
    slots.seen({"1": RUNNING, "2": DONE})  # the server was asked about some only
    assert slots.free == 17
    slots.forget(["3", "unknown"])
    assert slots.free == 18


def test_a_busy_run_has_one_at_least() -> None:
    slots = Slots(2)
    slots.begin(7)
    assert slots.free == 1


def test_as_many_as_were_seen_running_in_all_rounds() -> None:
    slots = Slots(2)
    slots.seen({str(n): RUNNING for n in range(3)})
    slots.seen({str(n): RUNNING for n in range(3, 6)})
    slots.seen({str(n): DONE for n in range(6)})
    assert slots.free == 6
