from __future__ import annotations

from snakemake_executor_plugin_grid.model.state import UNKNOWN, JobState, JobStatus


def test_unknown_is_neither_done_nor_failed() -> None:
    assert JobStatus(JobState.UNKNOWN) == UNKNOWN
    assert not UNKNOWN.state.ended


def test_states_after_which_nothing_happens() -> None:
    ended = {state for state in JobState if state.ended}
    assert ended == {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
