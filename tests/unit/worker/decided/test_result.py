"""How the runner tells the worker what has happened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.decided.result import (
    RESULT_FILE,
    Result,
    read_result,
)

RESULT = Result(reports.PAYLOAD_FAILED, "rule a ended with exit code 3", 3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    RESULT.write(tmp_path)
    RESULT.write(tmp_path)
    assert read_result(tmp_path) == RESULT
    assert [one.name for one in tmp_path.iterdir()] == [RESULT_FILE]


def test_a_long_message_is_cut(tmp_path: Path) -> None:
    """Otherwise nothing of the result would be read."""
    Result(reports.OUTPUT_MISSING, "😀" * 1_000_000, 0).write(tmp_path)
    result = read_result(tmp_path)
    assert result is not None
    assert (result.reason, result.message) == (reports.OUTPUT_MISSING, "😀" * 50_000)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Result(), 0),
        (RESULT, 3),
        (Result(reports.PAYLOAD_FAILED, "", None, 9), 137),
        (Result(reports.OUTPUT_MISSING, "", 0), 1),
        (Result(reports.NO_RUNTIME, ""), 1),
    ],
)
def test_exit_code_of_the_runner(result: Result, status: int) -> None:
    assert result.status == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}}",
        "[" * 100_000,
        '{"other": 1}',
        '{"reason": "nonsense"}',
        '{"reason": ["success"]}',
        '{"message": 7}',
        '{"exit_code": 256}',
        '{"exit_code": true}',
        '{"exit_code": "0"}',
        '{"signal": -1}',
        '{"signal": 1.5}',
        "\udcff",
    ],
)
def test_damaged_results_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RESULT_FILE).write_bytes(text.encode(errors="surrogateescape"))
    assert read_result(tmp_path) is None


def test_other_files_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / RESULT_FILE
    assert read_result(tmp_path) is None
    os.mkfifo(path)
    assert read_result(tmp_path) is None
    path.unlink()
    (tmp_path / "real").write_text(json.dumps({"reason": "success"}))
    path.symlink_to("real")
    assert read_result(tmp_path) is None
    path.unlink()
    path.mkdir()
    assert read_result(tmp_path) is None
