from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.model.names import NAME_PATTERN, JobName
from snakemake_executor_plugin_grid.model.tracked import TrackedJob
from tests.unit.specs import spec, tracked

RUN = "0a1b2c3d"


@given(st.text(min_size=1), st.integers(1, 10**6), st.integers(0, 10**4))
def test_a_name_is_safe_everywhere_and_contains_its_parts(
    rule: str, number: int, resubmissions: int
) -> None:
    first = JobName.new(rule, RUN, number)
    name = JobName(str(first), resubmissions)
    assert re.fullmatch(NAME_PATTERN, str(name))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", str(name))
    assert str(first).endswith(f"-{RUN}-{number}")
    assert JobName.parse(str(name)) == name
    assert JobName.parse(str(name)).run == RUN


@given(st.text(), st.text(), st.integers(1, 99), st.integers(1, 99))
def test_names_differ_with_the_number(first: str, second: str, one: int, other: int) -> None:
    if one != other:
        assert JobName.new(first, RUN, one) != JobName.new(second, RUN, other)


@pytest.mark.parametrize("name", ["nobody", "a-1", "a-0a1b2c3-1", "-0a1b2c3d-1", "a-0a1b2c3d-x"])
def test_a_name_without_a_run_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no id of a run"):
        _ = JobName.parse(name).run


def test_a_resubmitted_job_counts_in_its_name() -> None:
    job: TrackedJob = tracked(spec("a-b-1234abcd-7"))
    job.submit_again("")
    job.submit_again("SITE")
    assert job.spec.name == "a-b-1234abcd-7.2"
    assert JobName.parse(job.spec.name) == JobName("a-b-1234abcd-7", 2)
    assert JobName.parse(job.spec.name).run == "1234abcd"
