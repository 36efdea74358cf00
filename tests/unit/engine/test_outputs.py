"""Outputs are looked for under the paths that Snakemake knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.tracked import Outcome
from snakemake_executor_plugin_grid.worker.description import Output
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput
from tests.unit.fickle import Bench
from tests.unit.specs import spec, tracked
from tests.unit.staging.submit_host import ENDED, entry, sha256

DATA = b"of the job"


def bring(bench: Bench, name: str, **fields: Any) -> Outcome:
    """Install the results of a job that has made a file."""
    job = tracked(spec("j-1", outputs=(Output(name),), **fields))
    folder = bench.outputs.incoming(job)
    (folder / "out").mkdir(parents=True)
    (folder / "out" / sha256(DATA)).write_bytes(DATA)
    returned = {"member": entry(name, DATA), "kind": "output", "blob": sha256(DATA), "raw": True}
    report = {"name": "j-1", "reason": "success", "times": {"ended": ENDED}}
    report["blobs"] = {sha256(DATA): len(DATA)}
    (folder / "report.json").write_text(json.dumps(report | {"returned": [returned]}))
    return bench.outputs.install(job, bench.outcomes)


@pytest.fixture
def workdir(bench: Bench) -> Path:
    return bench.outputs.layout.workdir


def test_an_output_is_there_under_its_spelling(bench: Bench, workdir: Path) -> None:
    path = "runs/first/../summary.txt"
    outcome = bring(
        bench, "work/runs/summary.txt", folders=("work/runs/first", "work/runs"), awaited=(path,)
    )
    assert outcome.success
    assert (workdir / path).read_bytes() == DATA


def test_a_job_fails_if_snakemake_would_not_find_its_output(bench: Bench, workdir: Path) -> None:
    (workdir / "runs").mkdir()
    (workdir / "runs" / "first").touch()
    path = "runs/first/../summary.txt"
    outcome = bring(bench, "work/runs/summary.txt", folders=("work/runs/first",), awaited=(path,))
    assert not outcome.success
    assert path in outcome.message


def test_an_output_under_another_name_of_the_working_directory(
    bench: Bench, workdir: Path, tmp_path: Path
) -> None:
    (tmp_path / "alias").symlink_to(workdir)
    outcome = bring(bench, "work/a.txt", awaited=(f"{tmp_path}/alias/a.txt",))
    assert outcome.success


def test_clean_keeps_files_on_the_grid_that_are_written_again(bench: Bench) -> None:
    catalog, query = bench.outputs.catalog, "lfn:/vo/x"
    catalog.note_locations([("", query), ("", "lfn:/vo/y")]).wait()  # temporary ones, once
    bring(bench, "work/a.txt", grid_outputs=(GridOutput("work/x", query, query),))
    assert catalog.locations() == ["lfn:/vo/y"]
