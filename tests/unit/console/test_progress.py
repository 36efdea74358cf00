from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import progress
from snakemake_executor_plugin_grid.console.progress import (
    Bar,
    Moving,
    Progress,
    can_draw,
    size_of,
)
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore

WIDTH = 160


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal, and what is on its screen."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        return screen(self.getvalue())


class Heard(progress.Progress):
    """Notes which transfers there are.

    Attributes:
        announced: What, size, whether up, and store of each.
        moving: Each of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.announced: list[tuple[str, int, bool, str]] = []
        self.moving: list[Moving] = []

    @contextmanager
    def transfer(self, what: str, size: int, *, up: bool, store: str = "") -> Iterator[Moving]:
        self.announced.append((what, size, up, store))
        self.moving.append(Moving(what, size, time.monotonic, up=up, store=store))
        yield self.moving[-1]


class Told:
    """A `Progress` without its thread: the test refreshes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.terminal = Terminal()
        self.logger = logging.Logger("of a test")
        self.handler = logging.StreamHandler(self.terminal)
        self.logger.addHandler(self.handler)
        self.bar = Bar(self.terminal, self.logger, self.clock)
        self.progress = Progress(self.said.append, self.bar, self.clock)

    def after(self, seconds: float) -> list[str]:
        """Return what is on the screen some time later."""
        self.clock.now += seconds
        self.progress.refresh()
        return self.terminal.screen


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("LINES", "40")
    monkeypatch.setenv("TERM", "xterm")
    told = Told()
    monkeypatch.setattr(progress, "_current", told.progress)
    yield told
    told.progress.close()


def screen(text: str) -> list[str]:
    """Return what a terminal shows: of control sequences it knows only what may come."""
    rows = [""]
    row = column = 0
    for sequence, plain in re.findall(r"\x1b\[([\d;?]*[A-Za-z])|([^\x1b])", text):
        if sequence == "2K":
            rows[row] = ""
        elif sequence.endswith("A"):
            row -= int(sequence[:-1])
        elif sequence:
            assert sequence.endswith("m"), sequence
        elif plain == "\r":
            column = 0
        elif plain == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        else:
            rows[row] = f"{rows[row]:{column}}"[:column] + plain + rows[row][column + 1 :]
            column += 1
    while len(rows) > 1 and rows[-1] == rows[-2] == "":
        rows.pop()  # where the bar was
    return [line.rstrip() for line in rows]


def test_a_long_transfer_has_a_bar_until_it_ends(told: Told) -> None:
    with progress.transfer("data/[big].root", 100_000_000, up=True, store="s3://bucket") as moving:
        assert told.after(2.9) == [""]
        moving.advance(20_000_000)
        (first,) = told.after(0.2)
        moving.advance(10_000_000)
        (line,) = told.after(1)
    assert first.startswith("data/[big].root to s3://bucket ")
    assert "20.0/100.0 MB" in first
    assert "30.0/100.0 MB 10.0 MB/s 00:07" in line
    assert told.after(0.3) == [""]
    assert told.said == []


def test_a_short_transfer_draws_nothing(told: Told) -> None:
    with progress.transfer("data/small", 10, up=False) as moving:
        moving.advance(10)
        told.after(2.9)
    told.after(3)
    assert told.terminal.getvalue() == ""
    assert told.said == []


def test_of_several_transfers_the_oldest_is_shown(told: Told) -> None:
    moving = [Moving(f"file{n}", 0, told.clock, up=False, store="davs://host") for n in range(12)]
    told.progress._moving += moving
    (line,) = told.after(4)
    assert line.startswith("file0 from davs://host and 11 more ")
    moving[11].advance(5_000_000)
    del told.progress._moving[:11]
    (line,) = told.after(1)
    assert line.startswith("file11 from davs://host ")
    assert "more" not in line
    told.progress._moving.clear()
    assert told.after(1) == [""]


@pytest.mark.parametrize(
    ("up", "store", "seconds", "line"),
    [
        (True, "s3://b", 250, "uploaded data/big.root, 12.3 GB in 4 min 10 s (49.2 MB/s)"),
        (False, "s3://b", 7265, "downloaded data/big.root, 12.3 GB in 2 h 1 min (1.7 MB/s)"),
        (False, "", 61, "copied data/big.root, 12.3 GB in 1 min 1 s (201.6 MB/s)"),
    ],
)
def test_a_very_long_transfer_is_told_at_its_end_without_a_terminal_too(
    up: bool, store: str, seconds: float, line: str
) -> None:
    clock, said = Clock(), list[str]()
    reporter = Progress(said.append, None, clock)
    for duration in (59.9, seconds):
        with reporter.transfer("data/big.root", 12_300_000_000, up=up, store=store):
            clock.now += duration
    with suppress(GridError), reporter.transfer("data/other", 1000, up=up):
        clock.now += 1000
        raise GridError
    assert said == [line]


def test_the_tries_before_the_last_one_do_not_count(told: Told) -> None:
    with progress.transfer("data/big", 100_000_000, up=True, store="s3://b") as moving:
        moving.advance(50_000_000)
        told.clock.now += 1000
        moving.restart()
        moving.advance(10_000_000)
        assert "10.0/100.0 MB" in told.after(1)[0]
    assert told.said == []


def test_a_transfer_goes_on_under_the_name_that_the_caller_knows(told: Told) -> None:
    with progress.transfer("12 small files", 3_000_000, up=True, store="s3://b") as outer:
        outer.advance(3_000_000)
        told.clock.now += 1
        with progress.transfer("0a1b2c.part", 2_000_000, up=True, store="s3://b") as inner:
            inner.advance(500_000)
            (line,) = told.after(2)
            assert line.startswith("12 small files to s3://b")
            assert "0.5/2.0 MB" in line
    with progress.transfer("0a1b2c.part", 2_000_000, up=True, store="s3://b") as alone:
        assert alone is not inner


def test_the_size_of_a_file_tells_how_far_it_is(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "part"
    with progress.transfer("data/out", 4000, up=False) as moving:
        moving.watch(size_of(path))
        assert "0/? bytes" in told.after(4)[0]
        path.write_bytes(bytes(1000))
        assert "1.0/4.0 kB" in told.after(1)[0]
        path.rename(tmp_path / "whole")
        assert "1.0/4.0 kB" in told.after(1)[0]


def test_lines_of_others_stay_whole(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", told.terminal)
    long = f"[/one] 1 {300 * 'x'}"
    with progress.transfer("data/big", 10, up=True, store="s3://b"):
        told.logger.warning("before")
        told.after(4)
        told.logger.warning(long)
        print("begun", end="", file=sys.stderr)
        *lines, bar = told.after(1)
        assert lines == ["before", long]
        assert bar.startswith("data/big")
        print(" and ended", file=sys.stderr)
        print("last", end="", file=sys.stderr)
        sys.stderr.writelines([" two\n", "lines\n", "and one"])
        *lines, bar = told.after(1)
        assert bar.startswith("data/big")
    lines = [*lines, "and one", ""]
    assert told.after(1) == lines
    assert lines == ["before", long, "begun and ended", "last two", "lines", "and one", ""]
    assert "?25" not in told.terminal.getvalue(), "a killed process could not show the cursor again"
    assert told.handler.stream is told.terminal
    assert sys.stderr is told.terminal


def test_lines_of_other_processes_are_not_erased(told: Told) -> None:
    with progress.transfer("data/big", 10, up=True):
        told.after(4)
        for number in range(3):
            told.terminal.write(f"other {number}\n")
        told.after(1)
    shown = told.after(1)
    assert [line[-7:] for line in shown] == ["other 0", "other 1", "other 2", ""]


def test_what_is_printed_into_a_file_stays_there(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    with progress.transfer("data/big", 10, up=True):
        told.after(4)
        print("a result")
    assert file.getvalue() == "a result\n"
    assert told.after(1) == [""]


def test_handlers_of_files_and_other_streams_are_left_alone(told: Told, tmp_path: Path) -> None:
    other = logging.StreamHandler(io.StringIO())
    with (tmp_path / "log").open("w") as stream:
        file = logging.StreamHandler(stream)
        told.logger.handlers += [other, file]
        with progress.transfer("data/big", 10, up=True):
            told.after(4)
            assert told.handler.stream is not told.terminal
            assert isinstance(other.stream, io.StringIO)
            assert file.stream is stream


def test_a_terminal_that_goes_away_ends_the_bars_only(told: Told) -> None:
    def write(_: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with progress.transfer("data/big", 10, up=True):
        told.terminal.write = write  # type: ignore[assignment]
        told.after(4)
        told.after(1)
    told.after(1)
    assert told.handler.stream is told.terminal


def test_nothing_is_drawn_while_the_terminal_is_the_shells(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = [os.getpgrp()]
    monkeypatch.setattr(told.terminal, "fileno", lambda: 2)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: owner[0])
    with progress.transfer("data/big", 10, up=True):
        assert told.after(4)[0].startswith("data/big")
        owner[0] += 1
        assert told.after(1) == [""]
        assert told.handler.stream is told.terminal


def test_a_narrow_terminal_has_a_line_for_the_bar(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with progress.transfer(200 * "n", 10, up=True, store="s3://b"):
        (line,) = told.after(4)
    assert len(line) <= 60


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_where_bars_are_drawn(environment: dict[str, str], drawn: bool) -> None:
    assert can_draw(Terminal(), environment) is drawn
    assert not can_draw(io.StringIO(), environment)


def test_nothing_is_told_before_it_is_asked_for_and_after_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def transfer() -> list[str]:
        with progress.transfer("data/big", 10, up=True) as moving:
            assert isinstance(moving, Moving)
            moving._began -= 100
        return [text.partition(",")[0] for text in said]

    said: list[str] = []
    assert transfer() == []
    first = progress.show(said.append, logging.Logger("none"), io.StringIO())
    assert transfer() == ["copied data/big"]
    later = progress.show(said.append, logging.Logger("none"), io.StringIO())
    first.close()
    assert transfer() == 2 * ["copied data/big"]
    later.close()
    assert transfer() == 2 * ["copied data/big"]


def test_transfers_of_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(progress, "_PERIOD", 0.001)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    terminal, logger = Terminal(), logging.Logger("of a test")
    logger.addHandler(logging.StreamHandler(terminal))
    many = Progress(logger.warning, Bar(terminal, logger))
    many.start()
    moved: list[int] = []

    def move(number: int) -> None:
        for turn in range(20):
            with many.transfer(f"file {number}", 100, up=True) as moving:
                for _ in range(100):
                    moving.advance(1)
                time.sleep(0.002)
                logger.warning("%d of %d", turn, number)
                assert isinstance(moving, Moving)
                moved.append(moving.moved())

    threads = [threading.Thread(target=move, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    many.close()
    assert moved == 160 * [100]
    assert " more " in terminal.getvalue()
    *lines, last = terminal.screen
    assert sorted(lines) == sorted(f"{t} of {n}" for t in range(20) for n in range(8))
    assert last == ""


def test_a_store_counts_while_it_copies(told: Told, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.check()
    path = tmp_path / "big"
    path.write_bytes(bytes(5_000_000))
    with progress.transfer("data/big", 0, up=True) as moving:
        store.put_file(path)
        moving.watch(size_of(next(store.folder.iterdir())))
        (line,) = told.after(4)
    assert line.startswith(f"data/big to {store.url}")
    assert "5.0/5.0 MB" in line
