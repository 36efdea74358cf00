from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.job import (
    Resources,
    read_overrides,
    read_resources,
)
from tests.unit.specs import spec


def test_resources_with_their_units() -> None:
    resources = {"mem_mb": 1500, "disk_mb": 10, "runtime": 90, "gpu": 2, "other": 3}
    assert read_resources(4, resources.items()) == Resources(
        processors=4, memory_mb=1500, disk_mb=10, runtime_s=5400.0, gpus=2
    )


def test_resources_not_asked_for() -> None:
    assert read_resources(1, []) == Resources(1, None, None, None, 0)


def test_no_thread_counts_as_one() -> None:
    assert read_resources(0, []).processors == 1


def test_fractions_are_rounded_up_and_minutes_kept() -> None:
    resources = read_resources(1, [("mem_mb", 0.5), ("runtime", 0.25)])
    assert resources.memory_mb == 1
    assert resources.runtime_s == 15.0
    assert read_resources(1, [("runtime", 0)]).runtime_s == 60.0
    assert read_resources(1, []).runtime_s is None


@pytest.mark.parametrize("value", ["<TBD>", None, True, "1000"])
def test_what_is_no_number_is_not_asked_for(value: object) -> None:
    assert read_resources(1, [("mem_mb", value), ("gpu", value)]) == Resources(1)


def test_overrides() -> None:
    resources = [("grid_runtime", "setup"), ("grid_x", 3), ("mem_mb", 1), ("grid_y", None)]
    assert read_overrides(resources) == {"runtime": "setup", "x": "3"}


def test_title() -> None:
    assert spec("j", wildcards=(("a", "1"), ("b", "2"))).title == "rule sort (a=1, b=2)"
    assert spec("j", wildcards=()).title == "rule sort"
