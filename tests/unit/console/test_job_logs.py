from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console import job_logs
from snakemake_executor_plugin_grid.console.job_logs import JobLogs, read_lines, read_tail

from .worker_logs import failed_rule


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "payload.log"


def test_the_words_of_the_rule_are_shown_without_those_of_snakemake(log: Path) -> None:
    log.write_text(failed_rule(1, "Error in f(x) : as R says\nlast words\n"))
    assert JobLogs.read(log).excerpt() == [
        "Last lines of its output:",
        "    Error in f(x) : as R says",
        "    last words",
    ]


def test_the_error_is_found_behind_long_lists_of_inputs(log: Path) -> None:
    inputs = ", ".join(f"skim/part{number:05}.txt" for number in range(50_000))
    log.write_text(failed_rule(1, "no space for histograms\n", inputs=inputs))
    assert JobLogs.read(log).excerpt()[1:] == ["    no space for histograms"]


def test_long_lines_are_cut(log: Path) -> None:
    log.write_text(failed_rule(1, f"begin{'x' * 10_000}end\n"))
    (line,) = JobLogs.read(log).excerpt()[1:]
    assert len(line) < 400
    assert line.strip().startswith("begin")
    assert line.endswith("end")


def test_the_logs_of_the_rule_come_first(log: Path) -> None:
    log.write_text(failed_rule(3, "printed\n"))
    rule_logs = {f"logs/{name}": log.with_name(name) for name in "abcdefg"}
    for name in "abcdef":
        log.with_name(name).write_text("".join(f"{name}{number}\n" for number in range(50)))
    lines = JobLogs.read(log, rule_logs).excerpt()
    assert lines[:6] == ["Last lines of logs/a:", *(f"    a{number}" for number in range(45, 50))]
    assert lines[-3:] == [
        "Last lines of its output:",
        "    printed",
        "Other logs of the rule: logs/e, logs/f, logs/g",
    ]
    one = JobLogs.read(None, {"a": log.with_name("a")}).excerpt()
    assert len(one) == 21


def test_names_of_logs_do_not_fill_the_message(log: Path) -> None:
    names = ["a\nb", "n" * 4000, *(f"logs/{number}" for number in range(100_000))]
    log.write_text("x\n")
    lines = JobLogs.read(None, dict.fromkeys(names, log)).excerpt()
    assert lines[0] == "Last lines of a b:"
    assert lines[-1].endswith("more")
    assert "logs/2, logs/3" in lines[-1]
    assert len("".join(lines)) < 1500


def test_the_logs_of_the_rule_that_failed_come_first_in_a_group(log: Path) -> None:
    log.write_text(failed_rule(3, logs="z"))
    rule_logs = {name: log.with_name(name) for name in "abcdefghijklmnopqrstuvwxyz"}
    for path in rule_logs.values():
        path.write_text(f"{path.name}\n")
    assert JobLogs.read(log, rule_logs).excerpt()[:2] == ["Last lines of z:", "    z"]


def test_what_tee_wrote_to_a_log_is_shown_once(log: Path) -> None:
    log.write_text(failed_rule(3, "one\ntwo\n"))
    log.with_name("a").write_text("one\ntwo\n")
    shown = JobLogs.read(log, {"a": log.with_name("a")}).excerpt()
    assert shown == ["Last lines of a:", "    one", "    two"]


def test_the_middle_of_a_large_log_is_not_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_logs, "_HEAD_BYTES", 100)
    monkeypatch.setattr(job_logs, "_END_BYTES", 50)
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    lines = list(read_lines(log))
    assert lines[0] == "line 0"
    assert lines[-1] == "line 999"
    assert len(lines) < 30
    log.write_text("line\n" * 25)  # no larger than both together
    assert len(list(read_lines(log))) == 25


def test_a_line_that_never_ends_is_read_in_pieces(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_logs, "_LONGEST_READ", 10)
    log.write_text("x" * 95)
    assert max(map(len, read_lines(log))) == 10


def test_tail_of_a_long_log_is_read_from_its_end(log: Path) -> None:
    log.write_bytes(b"\xff" * 3_000_000 + b"\nlast but one\n\n  \nlast\n")
    assert read_tail(log, 2) == ["last but one", "last"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "fifo"):
        assert read_tail(path) == []
        assert list(read_lines(path)) == []
    assert JobLogs.read(tmp_path / "missing").excerpt() == []
