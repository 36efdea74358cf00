"""The limit of outputs is kept on the submit host, whatever a worker does."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.tracked import Plan, TrackedJob
from snakemake_executor_plugin_grid.staging.install import OutputDamagedError
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.report import Report, Returned
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.fickle import Bench
from tests.unit.specs import spec

TARBALL, FILE = "0" * 64, "1" * 64


@pytest.mark.parametrize("limit", [None, 3000, 2999])
def test_nothing_is_fetched_that_is_larger_than_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: int | None
) -> None:
    fetched: list[str] = []

    def fetch(_: str, digest: str, most: int) -> Path:
        fetched.append(digest)
        assert most == {TARBALL: 9000, FILE: 1000}[digest]
        path = tmp_path / digest
        path.write_bytes(bytes(9000 if digest == TARBALL else 1000))
        return path

    monkeypatch.setattr(bench.store, "fetch_output", fetch)
    job = TrackedJob(Plan(spec("j-1"), Runtime("inherit"), output_limit=limit), spec("j-1"))
    folder = bench.outputs.incoming(job)
    folder.mkdir(parents=True)
    sparse = Member("work/a", "file", 0o644, 1 << 40, 0, "2" * 64, holes=(1 << 40) - 2000)
    dense = Member("work/b", "file", 0o644, 1000, 0, FILE)
    returned = [Returned(sparse, "output", TARBALL), Returned(dense, "output", FILE, raw=True)]
    report = Report("j-1", reports.SUCCESS, returned=returned, blobs={TARBALL: 9000, FILE: 1000})
    report.write(folder / "report.json")
    if limit == 2999:
        with pytest.raises(GridError) as caught:
            bench.outputs.fetch(job)
        for word in ("rule sort (sample=a)", "3.0 kB", "--grid-output-limit", "grid_output_limit"):
            assert word in str(caught.value)
        assert fetched == []
    else:
        bench.outputs.fetch(job)
        assert fetched == [TARBALL, FILE]


@pytest.mark.parametrize("limit", [None, 3000])
def test_tarball_that_is_larger_than_its_files_is_not_fetched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(bench.store, "fetch_output", lambda _, digest, __: fetched.append(digest))
    job = TrackedJob(Plan(spec("j-1"), Runtime("inherit"), output_limit=limit), spec("j-1"))
    folder = bench.outputs.incoming(job)
    folder.mkdir(parents=True)
    small = Returned(Member("work/a", "file", 0o644, 1000, 0, FILE), "output", TARBALL)
    report = Report("j-1", reports.SUCCESS, returned=[small], blobs={TARBALL: 40 << 30})
    report.write(folder / "report.json")
    with pytest.raises(OutputDamagedError, match=r"1\.0 kB of files.* 42\.9 GB"):
        bench.outputs.fetch(job)
    assert fetched == []
