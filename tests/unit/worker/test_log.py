from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.worker import log as module
from snakemake_executor_plugin_grid.worker.log import tail, trim


def test_the_middle_is_cut_out_and_the_first_line_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number:07}\n" for number in range(300_000)))
    trim(log, 1_000_000)
    assert log.stat().st_size == 1_000_000
    first, *lines = log.read_text().splitlines()
    assert first.startswith("[2.9 MB of the 3.9 MB of this output were cut out")
    assert lines[:2] == ["line 0000000", "line 0000001"]
    assert lines[-2:] == ["line 0299998", "line 0299999"]
    gap = lines.index("[...]")
    assert gap > 10_000
    assert len(lines) - gap > 50_000


def test_a_log_that_fits_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 1000)
    trim(log, 1000)
    assert log.read_bytes() == b"x" * 1000


def test_no_log_is_no_error(tmp_path: Path) -> None:
    trim(tmp_path / "log", 10)
    assert not (tmp_path / "log").exists()
    assert tail(tmp_path / "log") == b""


def test_the_error_is_in_the_tail_although_long_lists_of_inputs_follow(tmp_path: Path) -> None:
    inputs = ", ".join(f"skim/part{number:05}.txt" for number in range(20_000))
    log = tmp_path / "log"
    log.write_text(
        f"cp: 'x': No space left on device\nError in rule a:\n    input: {inputs}\nend\n"
    )
    found = tail(log)
    assert b"No space left on device" in found
    assert found.endswith(b"\nend\n")
    assert len(found) < 5000


@given(size=st.integers(0, 5000), limit=st.integers(0, 5000))
def test_never_longer_than_allowed_and_nothing_made_up(
    tmp_path_factory: pytest.TempPathFactory, size: int, limit: int
) -> None:
    log = tmp_path_factory.getbasetemp() / "log"
    text = b"".join(b"%07d\n" % number for number in range(size // 8 + 1))[:size]
    log.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", 64)
        trim(log, limit)
    left = log.read_bytes()
    assert len(left) == min(size, limit)
    if size > limit > 300:
        body = left.partition(b"\n")[2]
        head, gap, end = body.partition(b"\n[...]\n")
        assert gap
        assert text.startswith(head)
        assert text.endswith(end)
        assert len(head) == limit // 4
