from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.console.format import (
    clause,
    duration,
    file_size,
    listed,
    plural,
    sentence,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.26, "0 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (303, "5 min 3 s"),
        (3600, "1 h"),
        (7530, "2 h 5 min"),
        (3605, "1 h"),
        (86400, "24 h"),
        (47.5 * 3600, "47 h 30 min"),
        (2 * 86400, "2 d"),
        (3 * 86400 + 4 * 3600 + 59, "3 d 4 h"),
        (400 * 86400, "400 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_largest_unit_alone() -> None:
    assert [duration(seconds, units=1) for seconds in (303, 7530, 3 * 86400 + 7200)] == [
        *("5 min", "2 h", "3 d")
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1500, "1.5 kB"), (2.3e9, "2.3 GB")],
)
def test_sizes(count: float, text: str) -> None:
    assert file_size(count) == text


def test_counts() -> None:
    assert [plural(count, "job") for count in (0, 1, 2, 1200)] == [
        *("0 jobs", "1 job", "2 jobs", "1,200 jobs")
    ]


def test_long_lists_are_shortened() -> None:
    items = [str(number) for number in range(12)]
    assert listed(items[:10]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert listed(items).endswith("8, 9 and 2 more")
    assert listed(items, 2, "; ") == "0; 1 and 10 more"
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("text", "whole", "part"),
    [
        ("it broke", "it broke.", "it broke"),
        ("it broke.\n", "it broke.", "it broke"),
        ("did you mean x?", "did you mean x?", "did you mean x?"),
        ("file:///eos/…", "file:///eos/…", "file:///eos/…"),
    ],
)
def test_a_sentence_has_one_full_stop(text: str, whole: str, part: str) -> None:
    assert (sentence(text), clause(ValueError(text))) == (whole, part)
