"""Sizes as the user writes them."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.size import read_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("7b", 7),
        ("20GB", 20 * 10**9),
        (" 1.5 T ", 15 * 10**11),
        ("500 MiB", 500 << 20),
        ("2k", 2000),
        ("3gi", 3 << 30),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1 PB", "1e9", "20 gigabytes", "iB", "1..5G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="20GB"):
        read_size(text)
