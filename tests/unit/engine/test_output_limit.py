"""The limit of outputs is kept on the submit host, whatever a worker does."""

from __future__ import annotations

import pytest

from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.tracked import Plan, TrackedJob
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.report import Report, Returned
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.fickle import Bench
from tests.unit.specs import spec

BLOB = "0" * 64


@pytest.mark.parametrize("limit", [None, 3000, 2999])
def test_nothing_is_fetched_that_is_larger_than_allowed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    fetched: list[tuple[str, str]] = []
    monkeypatch.setattr(bench.store, "fetch_output", lambda *args: fetched.append(args))
    job = TrackedJob(Plan(spec("j-1"), Runtime("inherit"), output_limit=limit), spec("j-1"))
    folder = bench.outputs.incoming(job)
    folder.mkdir(parents=True)
    # A file that is stored as it is has no holes, whatever its report says.
    sparse = Member("work/a", "file", 0o644, 1 << 40, 0, BLOB, holes=(1 << 40) - 2000)
    dense = Member("work/b", "file", 0o644, 1000, 0, BLOB, holes=1000)
    returned = [Returned(sparse, "output", BLOB), Returned(dense, "output", BLOB, raw=True)]
    report = Report("j-1", reports.SUCCESS, returned=returned, blobs={BLOB: 9000})
    report.write(folder / "report.json")
    if limit == 2999:
        with pytest.raises(GridError) as caught:
            bench.outputs.fetch(job)
        for word in ("rule sort (sample=a)", "3.0 kB", "--grid-output-limit", "grid_output_limit"):
            assert word in str(caught.value)
        assert fetched == []
    else:
        bench.outputs.fetch(job)
        assert fetched == [("j-1", BLOB)]
