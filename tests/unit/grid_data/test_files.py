"""Which files on the grid jobs read and write, and whether they are there in the end."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.grid_data.attempts import of_attempt
from snakemake_executor_plugin_grid.grid_data.files import Destination, GridFiles
from snakemake_executor_plugin_grid.grid_data.lookup import Lookup
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.job import JobSpec
from snakemake_executor_plugin_grid.snakemake_api.grid_files import GridPath
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.stores.file_catalog import FileFacts
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput, Stored
from snakemake_executor_plugin_grid.worker.report import Report
from tests.unit.grid_data.fake_catalog import FakeCatalog
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
    released: list[str] = field(default_factory=list)
    noted: dict[str, FileFacts] = field(default_factory=dict)
    registered: dict[str, FileFacts] = field(default_factory=dict)
    adopted: int = 0
    refused: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def facts(self, query: str) -> FileFacts | None:
        return self.there.get(query)

    def sources(self, queries: Collection[str]) -> dict[str, list[str]]:
        return {query: [query, "https://host/x"] for query in queries}

    def elements(self, queries: Collection[str]) -> dict[str, list[str]]:
        return {query: ["SE-2", "SE-1"] for query in queries}

    def destination(self, query: str) -> Destination:
        return Destination(query, "SE-1")

    def is_immutable(self, query: str) -> bool:
        return query.startswith("rucio:")

    def adopt(self, files: Mapping[str, FileFacts]) -> dict[str, str]:
        self.registered.update(files)
        self.adopted += 1
        return {query: "taken" for query in files if query in self.refused}

    def note(self, query: str, facts: FileFacts, begun: float) -> None:
        assert begun <= time.time()
        self.noted[query] = facts

    def forget(self, queries: Collection[str], *, absent: bool = False) -> None:
        self.forgotten += [query for query in queries if not (absent and query in self.there)]

    def release(self, queries: Collection[str]) -> None:
        self.released += queries

    def protect(self, queries: Collection[str]) -> None:
        self.protected += queries

    def discard(self, query: str) -> None:
        self.discarded.append(query)


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
    assert bench.files.elements([bench.path]) == {LFN: ("SE-1", "SE-2")}


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
    assert bench.storage.released == [LFN, LFN]


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


def _in_catalog(lookup: Lookup) -> Storage:
    """Return a storage that asks a catalog by a lookup, as the storage provider does."""
    made = Storage()
    for name in ("facts", "forget", "release"):
        setattr(made, name, getattr(lookup, name))

    def note(query: str, facts: FileFacts, begun: float) -> None:
        lookup.note(query, facts)

    made.note = note  # type: ignore[method-assign]
    return made


def _job(number: int, storage: Storage, files: GridFiles) -> tuple[JobSpec, Report]:
    """Return a job that is planned, and the report of its success."""
    query = f"lfn:/vo/{number}"
    outputs = files.outputs([GridPath(f".snakemake/{number}", query, storage)])
    name = f"job-00000000-{number}"
    told = Stored(query, 7, "0bcb02fc")
    return spec(name, grid_outputs=outputs), Report(name, reports.SUCCESS, stored=[told])


@pytest.mark.parametrize("rounds", [1, 4])
def test_one_question_is_asked_for_many_jobs_that_have_ended(tmp_path: Path, rounds: int) -> None:
    catalog = FakeCatalog()
    lookup = Lookup(catalog)
    storage, files = _in_catalog(lookup), GridFiles(Layout(tmp_path))
    lookup.register(f"lfn:/vo/{number}" for number in range(12))
    jobs = [_job(number, storage, files) for number in range(12)]
    catalog.calls.clear()
    for number in range(12):
        catalog.add(f"lfn:/vo/{number}")
    for start in range(rounds):
        some = jobs[start::rounds]
        for one, _ in some:
            files.ended(one)
        assert [files.confirm(one, report) for one, report in some] == [""] * len(some)
    assert len(catalog.asked("facts")) == 1


def test_what_an_earlier_attempt_left_is_asked_for_again(tmp_path: Path) -> None:
    catalog = FakeCatalog()
    lookup = Lookup(catalog)
    storage, files = _in_catalog(lookup), GridFiles(Layout(tmp_path))
    one, report = _job(0, storage, files)
    catalog.add("lfn:/vo/0", b"of another attempt")
    lookup.forget(["lfn:/vo/0"])
    lookup.facts("lfn:/vo/0")
    catalog.add("lfn:/vo/0")
    files.ended(one)
    assert files.confirm(one, report) == ""


def test_all_outputs_of_a_job_are_registered_in_one_call(bench: Bench) -> None:
    queries = ["rucio://s/a", "rucio://s/b"]
    outputs = bench.files.outputs([GridPath(query[-1], query, bench.storage) for query in queries])
    facts = FileFacts(4, 9.0, "0a1b2c3d")
    bench.storage.there = dict.fromkeys(queries, facts)
    stored = [Stored(query, 4, "0a1b2c3d") for query in queries]
    report = Report("job-00000000-1", reports.SUCCESS, stored=stored)
    assert bench.files.confirm(spec("job-00000000-1", grid_outputs=outputs), report) == ""
    assert bench.storage.adopted == 1
    assert bench.storage.registered.keys() == set(queries)


def test_files_that_are_registered_are_asked_for_after_that(tmp_path: Path) -> None:
    catalog = FakeCatalog()
    lookup = Lookup(catalog)
    storage, files = _in_catalog(lookup), GridFiles(Layout(tmp_path))

    def adopt(found: Mapping[str, FileFacts]) -> dict[str, str]:
        for name in found:
            catalog.add(name)
        return {}

    storage.adopt = adopt  # type: ignore[method-assign]
    jobs = [_job(number, storage, files) for number in range(2)]
    for one, _ in jobs:
        files.ended(one)
    assert [files.confirm(one, report) for one, report in jobs] == ["", ""]


URL = "davs://host/d/x"
TO_SERVER = GridOutput("work/.snakemake/storage/grid/davs/host/d/x", URL, URL)


def of_server(bench: Bench, name: str) -> JobSpec:
    path = GridPath(".snakemake/storage/grid/davs/host/d/x", URL, bench.storage)
    bench.files.outputs([path])
    return spec(name, grid_outputs=(TO_SERVER,))


def test_what_an_attempt_may_replace_is_what_is_there_when_it_is_sent(bench: Bench) -> None:
    """A server has no guids, by which earlier attempts are told from later ones."""
    bench.storage.there[URL] = FileFacts(3, 1_700_000_000.9, "")
    path = GridPath(".snakemake/storage/grid/davs/host/d/x", URL, bench.storage)
    (planned,) = bench.files.outputs([path])
    assert planned.before == "3::1700000000"
    bench.storage.there[URL] = FileFacts(5, 1_700_000_100.0, "0a1b2c3d")
    job = spec("job-00000000-1.1", grid_outputs=(planned,))
    (again,) = bench.files.outputs_now(job)
    assert again == replace(planned, before="5:0a1b2c3d:1700000100")
    assert bench.storage.forgotten == [URL]


def test_without_an_answer_an_attempt_replaces_what_was_planned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = of_server(bench, "job-00000000-1.1")

    def away(query: str) -> None:
        raise GridError("it does not answer")

    monkeypatch.setattr(bench.storage, "facts", away)
    assert bench.files.outputs_now(job) == job.grid_outputs


def test_with_a_catalog_nothing_is_asked_again(bench: Bench) -> None:
    bench.files.outputs([bench.path])
    bench.storage.there[LFN] = FileFacts(5, 1.0, "0a1b2c3d")
    assert bench.files.outputs_now(bench.spec) == (OUTPUT,)


def test_parts_of_all_attempts_are_removed_after_a_failure(bench: Bench) -> None:
    first, second = (
        of_attempt(TO_SERVER, name).part for name in ("job-00000000-1", "job-00000000-1.1")
    )
    report = Report("job-00000000-1.1", reason=reports.PAYLOAD_FAILED)
    bench.files.failed(of_server(bench, "job-00000000-1.1"), report)
    assert not bench.storage.discarded, "nothing was uploaded"
    bench.files.failed(of_server(bench, "job-00000000-1.1"), None)
    assert bench.storage.discarded == [first, second]
    assert first != second
    assert first.startswith("davs://host/d/.")
    bench.files.failed(bench.spec, None)
    assert bench.storage.discarded == [first, second], "DIRAC's tools leave none"
