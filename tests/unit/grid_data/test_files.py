"""Which files on the grid jobs read and write, and whether they are there in the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.grid_data.files import Destination, GridFiles
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.snakemake_api.grid_files import GridPath
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput, Stored
from snakemake_executor_plugin_grid.worker.report import Report
from tests.unit.specs import spec

LFN = "lfn:/vo/x"
OUTPUT = GridOutput("work/.snakemake/storage/grid/lfn/vo/x", LFN, LFN, "SE-1")
GOOD = Stored(LFN, 4, "0a1b2c3d")


@dataclass
class Storage:
    """What a storage provider does, as far as the executor asks."""

    there: dict[str, FileFacts] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    protected: list[str] = field(default_factory=list)
    noted: dict[str, FileFacts] = field(default_factory=dict)
    registered: dict[str, FileFacts] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def facts(self, query: str) -> FileFacts | None:
        return self.there.get(query)

    def sources(self, queries: Collection[str]) -> dict[str, list[str]]:
        return {query: [query, "https://host/x"] for query in queries}

    def destination(self, query: str) -> Destination:
        return Destination(query, "SE-1")

    def is_immutable(self, query: str) -> bool:
        return query.startswith("rucio:")

    def adopt(self, files: Mapping[str, FileFacts]) -> dict[str, str]:
        self.registered.update(files)
        return {query: "taken" for query in files if query in self.refused}

    def note(self, query: str, facts: FileFacts, begun: float) -> None:
        assert begun <= time.time()
        self.noted[query] = facts

    def forget(self, queries: Collection[str]) -> None:
        self.forgotten += queries

    def protect(self, queries: Collection[str]) -> None:
        self.protected += queries


class Bench:
    """Files of one storage."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage()
        self.files = GridFiles(Layout(folder))
        self.path = GridPath(".snakemake/storage/grid/lfn/vo/x", LFN, self.storage)
        self.spec = spec("job-00000000-1", grid_outputs=(OUTPUT,))

    def confirm(self, *stored: Stored) -> str:
        self.files.outputs([self.path])
        report = Report("job-00000000-1", reports.SUCCESS, stored=list(stored))
        return self.files.confirm(self.spec, report)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_inputs_are_what_the_catalog_has(bench: Bench) -> None:
    bench.storage.there[LFN] = FileFacts(7, 1.5, "00000001")
    (one,) = bench.files.inputs([bench.path])
    assert (one.name, one.size, one.adler32, one.mtime_ns) == (
        *("work/.snakemake/storage/grid/lfn/vo/x", 7, "00000001"),
        1_500_000_000,
    )
    assert one.urls == (LFN, "https://host/x")


def test_an_input_that_has_vanished_is_named(bench: Bench) -> None:
    with pytest.raises(GridError, match="lfn:/vo/x does not exist"):
        bench.files.inputs([bench.path])


def test_before_a_run_inputs_may_be_missing(bench: Bench, tmp_path: Path) -> None:
    (one,) = GridFiles(Layout(tmp_path), early=True).inputs([bench.path])
    assert one.size == 0


def test_what_is_there_may_be_replaced(bench: Bench) -> None:
    (one,) = bench.files.outputs([bench.path])
    assert (one.url, one.element, one.before) == (LFN, "SE-1", "")
    bench.storage.there[LFN] = FileFacts(7, 1.5, "00000001")
    (one,) = bench.files.outputs([bench.path])
    assert one.before == "7:00000001"


def test_a_name_that_can_never_have_other_content_is_refused_before(bench: Bench) -> None:
    path = GridPath("x", "rucio://user.me/x", bench.storage)
    bench.files.outputs([path])
    bench.storage.there["rucio://user.me/x"] = FileFacts(7, 1.5, "00000001")
    with pytest.raises(GridError, match=r"rucio://user\.me/x exists.*choose a new name"):
        bench.files.outputs([path])


def test_what_a_catalog_does_not_register_fails_the_job(bench: Bench) -> None:
    bench.storage.there[LFN] = FileFacts(4, 9.0, "0a1b2c3d")
    bench.storage.refused = [LFN]
    assert "cannot be registered: taken" in bench.confirm(GOOD)
    assert bench.storage.registered[LFN].size == 4
    assert not bench.storage.noted


def test_an_output_that_is_there_as_reported_is_noted(bench: Bench) -> None:
    bench.storage.there[LFN] = FileFacts(4, 9.0, "A1B2C3D")  # as a catalog may write it
    assert bench.confirm(GOOD) == ""
    assert bench.storage.noted == bench.storage.there


@pytest.mark.parametrize(
    ("there", "stored", "words"),
    [
        (FileFacts(4, 9.0, "0a1b2c3d"), (), "did not store lfn:/vo/x"),
        (None, (GOOD,), "is not there"),
        (FileFacts(5, 9.0, "0a1b2c3d"), (GOOD,), "5 bytes"),
        (FileFacts(4, 9.0, "0a1b2c3e"), (GOOD,), "0a1b2c3e"),
    ],
)
def test_a_worker_that_lies(
    bench: Bench, there: FileFacts | None, stored: tuple[Stored, ...], words: str
) -> None:
    if there is not None:
        bench.storage.there[LFN] = there
    assert words in bench.confirm(*stored)
    assert not bench.storage.noted


@pytest.mark.parametrize(
    ("report", "protected"),
    [
        (None, [LFN]),
        (Report("j", reports.PAYLOAD_FAILED), [LFN]),
        (Report("j", reports.OUTPUT_NOT_STORED, stored=[GOOD]), []),
        (Report("j", reports.SUCCESS, stored=[GOOD]), [LFN]),  # it is something else
    ],
)
def test_a_failed_job_loses_only_what_it_wrote(
    bench: Bench, report: Report | None, protected: list[str]
) -> None:
    bench.files.outputs([bench.path])
    bench.files.failed(bench.spec, report)
    assert bench.storage.protected == protected
    assert bench.storage.forgotten == [LFN]


def test_the_catalog_is_asked_for_all_jobs_that_have_ended_at_once(bench: Bench) -> None:
    bench.files.ended(bench.spec)  # of an earlier run: nothing is known of it
    bench.files.outputs([bench.path])
    bench.files.ended(bench.spec)
    assert bench.storage.forgotten == [LFN]
