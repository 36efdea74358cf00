"""What all commands have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from snakemake_executor_plugin_grid.cli import main
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER

READERS = ["status", "report", "logs align", "describe align", "cancel align"]


@pytest.mark.parametrize("command", [*READERS, "clean"])
def test_a_directory_without_a_workflow(tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(main, [*command.split(), "-d", str(tmp_path)])
    assert result.exit_code == 2
    assert "no workflow has run here" in result.output
    assert list(tmp_path.iterdir()) == [], "it has made something"


@pytest.mark.parametrize("command", READERS)
def test_a_damaged_database(tmp_path: Path, command: str) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / DATABASE_FILE).write_text("not a database, but longer than its header" * 9)
    result = CliRunner().invoke(main, [*command.split(), "-d", str(tmp_path)])
    assert result.exit_code == 1
    assert f"{DATABASE_FILE}: cannot be read" in result.output
