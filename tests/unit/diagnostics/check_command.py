"""``snakemake-grid check`` as the tests run it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.cli.check import check
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER, Database
from snakemake_executor_plugin_grid.journal.writer import Journal

OK, WARNING, FAILED, UNTRIED = "✓", "!", "✗", "–"  # noqa: RUF001 - a dash


def run(workdir: Path, *args: str, **variables: str) -> Result:
    local = () if "--backend" in args else ("--grid-local-dir", str(workdir.parent / "sites"))
    command = ["--directory", str(workdir), *local, *args]
    result = CliRunner().invoke(check, command, env=variables)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def found(result: Result) -> dict[str, tuple[str, str]]:
    """Return mark and text of each check, by name."""
    lines: dict[str, tuple[str, str]] = {}
    name = ""
    for line in result.stdout.splitlines():
        if line[:1] in (OK, WARNING, FAILED, UNTRIED) and line[1:2] == " ":
            name = line[2:18].strip()
            lines[name] = line[0], line[19:]
        elif line.startswith(" ") and name:
            lines[name] = lines[name][0], f"{lines[name][1]}\n{line.strip()}"
    return lines


def record_run(workdir: Path, **options: Any) -> None:
    """Record a run with these options."""
    with contextlib.closing(Database(workdir / FOLDER / DATABASE_FILE)) as database:
        journal = Journal(database, "run1", options.get("backend", "local"))
        journal.begin_run("", options)
