"""Errors of commands that nobody expects."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.cli import describe, logs, status
from snakemake_executor_plugin_grid.console.error_log import LOG_FILE
from tests.unit.cli.commands import call
from tests.unit.journal.test_reader import Past, past

__all__ = ["past"]


def fail(*_: object, **__: object) -> None:
    raise TypeError("unsupported operand")


@pytest.mark.parametrize(
    ("command", "module"), [("status", status), ("logs", logs), ("describe", describe)]
)
def test_a_bug_goes_to_the_log_and_the_user_sees_a_line(
    past: Past, monkeypatch: pytest.MonkeyPatch, command: str, module: object
) -> None:
    past.run("run1")
    past.job("a-1", grid_id="1")
    monkeypatch.setattr(module, "JournalReader", fail)
    result = call(past, command, *(["align"] if command != "status" else []))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    log = past.folder / LOG_FILE
    assert "unexpected error (TypeError: unsupported operand)" in line
    assert str(log) in line
    assert "Traceback" in log.read_text()
    assert "in fail" in log.read_text()
