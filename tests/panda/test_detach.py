"""The tests of leaving and coming back, once more on the PanDA server: see `conftest.py`."""

from __future__ import annotations

import pytest

from tests.workflows.test_detach import (
    gates,
    scene,
    test_a_failed_job_makes_its_call_fail,
    test_a_workflow_of_three_levels_by_repeated_calls,
    test_an_interrupt_leaves_the_jobs,
    test_what_has_changed_is_submitted_anew,
)

__all__ = [
    "gates",
    "scene",
    "test_a_failed_job_makes_its_call_fail",
    "test_a_workflow_of_three_levels_by_repeated_calls",
    "test_an_interrupt_leaves_the_jobs",
    "test_what_has_changed_is_submitted_anew",
]

pytestmark = [pytest.mark.panda, pytest.mark.slow]
