from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.bundles.registry import BundleRegistry
from snakemake_executor_plugin_grid.journal.history import History, PrunedJobs
from snakemake_executor_plugin_grid.journal.reader import JournalReader
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.errors import GridError

from .test_reader import Past, past

__all__ = ["past"]

NOW = time.time()


def measure(report: Mapping[str, Any]) -> tuple[float, float, int, int]:
    return report["ran"], 1.0, 10, 20


def ended(past: Past, name: str, phase: Phase = Phase.SUCCEEDED, **columns: Any) -> None:
    past.job(name, sample=name, grid_id=name)
    past.journal.ended(name, phase, "", json.dumps({"ran": 5.0, "site": "S"}))
    past.journal.discarded([name])
    past.put(name, **{"changed": 10.0, **columns})


@pytest.fixture
def history(past: Past) -> History:
    """Return the history of three runs, of which the first two ended long ago."""
    BundleRegistry(past.database)
    for number, name in enumerate(("run1", "run2", "run3")):
        past.run(name)
        past.put_run(name, started=1.0 + number, ended=2.0 + number)
        ended(past, f"a-{number}")
    return History(past.database)


def pruned(past: Past) -> list[PrunedJobs]:
    with JournalReader(past.folder) as reader:
        return reader.history()


def test_old_runs_are_summed_up_by_rule_and_site(past: Past, history: History) -> None:
    assert pruned(past) == []
    past.journal = past.run("run1")
    past.put_run("run1", started=1.0, ended=2.0)
    ended(past, "a-4")
    ended(past, "a-5", Phase.FAILED)
    assert history.removable(NOW) == 4
    assert history.prune(NOW, measure) == 4
    assert list(past.records()) == ["a-2"]
    assert pruned(past) == [
        PrunedJobs("run1", "align", "S", "failed", 1, 5.0, 1.0, 10, 20),
        PrunedJobs("run1", "align", "S", "succeeded", 2, 10.0, 2.0, 20, 40),
        PrunedJobs("run2", "align", "S", "succeeded", 1, 5.0, 1.0, 10, 20),
    ]
    assert history.prune(NOW, measure) == 0


def test_sums_grow(past: Past, history: History) -> None:
    history.prune(NOW, measure)
    past.run("run1")
    past.put_run("run1", started=1.0, ended=2.0)
    ended(past, "a-9")
    history.prune(NOW, measure)
    assert [one.submissions for one in pruned(past)] == [2, 1]


def test_recent_runs_stay(past: Past, history: History) -> None:
    assert history.removable(2.5) == 0  # their rows have changed later
    past.put("a-0", changed=1.5)
    past.put("a-1", changed=1.5)
    assert history.removable(2.5) == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"phase": "submitted"},
        {"phase": "outputs installed"},
        {"phase": "cancelling"},
        {"needs_cleanup": 1},
        {"changed": NOW + 1},
        {"phase": "failed", "grid_outputs": '["lfn:/vo/a"]'},
    ],
)
def test_what_a_later_run_needs_stays(
    past: Past, history: History, columns: dict[str, Any]
) -> None:
    past.put("a-0", **columns)
    assert history.prune(NOW, measure) == 1
    assert set(past.records()) == {"a-0", "a-2"}


def test_earlier_submissions_of_an_open_job_stay(past: Past, history: History) -> None:
    past.job("a-0.1", sample="a-0", grid_id="9", origin="a-0")
    history.prune(NOW, measure)
    assert set(past.records()) == {"a-0", "a-0.1", "a-2"}


def test_decisions_and_bundles_of_other_jobs_stay(past: Past, history: History) -> None:
    past.database.change("INSERT INTO decisions VALUES (?, ?)", [("d0", b""), ("d2", b"")])
    past.put("a-0", decision="d0")
    past.put("a-2", decision="d2")
    past.database.change(
        "INSERT INTO bundle_jobs VALUES (?, 'b', ?, ?)", [("a-0", 0, 1), ("a-1", 1, 0)]
    )
    history.prune(NOW, measure)
    assert past.database.query("SELECT digest FROM decisions") == [("d2",)]
    assert past.database.query("SELECT job FROM bundle_jobs") == [("a-1",)]


def test_all_or_nothing(past: Past, history: History) -> None:
    past.database.change("DROP TABLE bundle_jobs", [()])
    with pytest.raises(GridError, match="bundle_jobs"):
        history.prune(NOW, measure)
    assert pruned(past) == []
    assert len(past.records()) == 3
