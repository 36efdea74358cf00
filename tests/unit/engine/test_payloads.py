"""What a submission may replace on the grid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.engine.payloads import Payloads
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.journal.writer import Journal
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.staging.upload import Upload
from snakemake_executor_plugin_grid.stores import Stores
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker.description import load
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput
from tests.unit.fickle import Fickle
from tests.unit.specs import spec, tracked

LFN = "lfn:/vo/x"


class Bench:
    """Builds what would be submitted."""

    def __init__(self, folder: Path) -> None:
        layout = Layout(folder)
        store = DirectoryStore(folder / "store")
        self.journal = Journal(Database(folder / "grid.sqlite"), "run", "fickle")
        catalog = Catalog(Database(folder / "other.sqlite"))
        with ThreadPoolExecutor(1) as pool:
            upload = Upload(layout, store, catalog, pool, large_file=1, compression="none")
        stores = Stores(store, store)
        self.payloads = Payloads(
            *(Fickle(), stores, layout, upload, folder / "worker.pyz", False, 1, "none"),
            outputs_now=lambda job: job.grid_outputs,
        )
        self.file = folder / "job.json"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def build(bench: Bench, name: str, query: str = LFN) -> GridOutput:
    """Return the output of a submission, as the worker reads it."""
    job = tracked(spec(name, grid_outputs=(GridOutput("work/x", query, query),)))
    bench.file.write_text(bench.payloads.build(job, (), frozenset()).description)
    (output,) = load(bench.file).grid_outputs
    return output


def test_an_attempt_may_replace_what_all_before_it_have_stored(bench: Bench) -> None:
    first = build(bench, "one-0000beef-1")
    again = build(bench, "one-0000beef-1.1")
    retry = build(bench, "one-0000beef-2")  # of Snakemake's own retries
    other = build(bench, "two-0000beef-3", "lfn:/vo/y")
    assert len({first.guid, again.guid, retry.guid, other.guid}) == 4
    assert first.may_replace == other.may_replace == ()
    assert again.may_replace == (first.guid,)
    assert retry.may_replace == (first.guid, again.guid)


def test_an_attempt_that_is_built_again_is_the_same(bench: Bench) -> None:
    before, first = build(bench, "one-0000beef-1"), build(bench, "one-0000beef-2")
    assert build(bench, "one-0000beef-2") == first
    assert first.may_replace == (before.guid,)


def test_attempts_of_earlier_runs_count_unless_they_succeeded(bench: Bench) -> None:
    jobs = [
        tracked(spec(f"one-0000aaaa-{number}", grid_outputs=(GridOutput("work/x", LFN, LFN),)))
        for number in range(3)
    ]
    bench.journal.submitting(jobs).wait()
    bench.journal.ended("one-0000aaaa-0", Phase.SUCCEEDED).wait()
    bench.journal.ended("one-0000aaaa-1", Phase.FAILED).wait()
    assert bench.journal.grid_attempts() == {LFN: ["one-0000aaaa-1", "one-0000aaaa-2"]}
    bench.payloads.attempts.update(bench.journal.grid_attempts())
    assert len(build(bench, "one-0000beef-1").may_replace) == 2
