from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.journal.records import Phase
from tests.unit.journal.test_reader import Past, past

from .commands import call, document

__all__ = ["past"]


@pytest.fixture
def old(past: Past) -> Past:
    """Return a directory with an old run and a new one."""
    report: dict[str, Any] = {"times": {"running": 1, "staging out": 61}, "bytes_in": 7}
    for number in (1, 2):
        past.run(f"run{number}")
        past.job(f"a-{number}", sample=str(number), grid_id=str(number))
        past.journal.ended(f"a-{number}", Phase.SUCCEEDED, "", json.dumps(report))
        past.journal.discarded([f"a-{number}"])
    past.put_run("run1", started=1.0, ended=2.0)
    past.put("a-1", changed=2.0)
    return past


def test_old_runs_are_removed_and_status_and_report_say_so(old: Past, tmp_path: Path) -> None:
    assert "Removed 1 row" in call(old, "clean", "--history", "--yes").output
    found = document(old)
    assert (found["pruned"], found["states"]) == (1, {"succeeded": 1})
    assert "1 submission of old runs are not counted" in call(old, "status").output
    (one,) = json.loads(call(old, "report", "--json").output)["history"]
    assert (one["run"], one["submissions"], one["run_seconds"], one["bytes_in"]) == (
        *("run1", 1, 60.0, 7),
    )
    page = tmp_path / "page.html"
    call(old, "report", "--output", str(page))
    assert "snakemake-grid clean --history" in page.read_text()
    assert json.loads(call(old, "report", "--json", "--last").output)["history"] == []


def test_nothing_is_removed_without_an_answer(old: Past) -> None:
    assert "Nothing is removed" in call(old, "clean", "--history").output
    assert len(old.records()) == 2


def test_days_choose_the_runs(old: Past) -> None:
    output = call(old, "clean", "--history", "--days", "1e6", "--yes").output
    assert "No run that ended more than 1e+06 days ago" in output
    assert len(old.records()) == 2
    assert call(old, "clean", "--days", "1").exit_code == 2
