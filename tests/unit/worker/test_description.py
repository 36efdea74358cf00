from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output, load
from snakemake_executor_plugin_grid.worker.runtime import Runtime

JOB = Job(
    name="sort-1",
    command="\"$GRID_PYTHON\" -m snakemake 'ü'",
    nesting=("me", "home"),
    blobs=(
        Blob("a" * 64, 5, "file:///s/a", wanted=("work/x", "up1/y"), compression="gzip"),
        Blob("b" * 64, 1 << 40, kind="raw", name="work/big", mode=0o750, mtime_ns=123456789),
        Blob("c" * 64, 1, kind="runtime"),
    ),
    outputs=(Output("work/out"), Output("work/log", "log", required=False)),
    runtime=Runtime("container", image="/i.sif", engine_options=("--nv",), binds=("/a:/b",)),
    time_limit=90.5,
    keep_incomplete=True,
    fetch_undeclared=True,
    large_file=1,
    compression="zstd",
    deliver="file:///store",
    deliver_limit=9_400_000,
    deliver_hint="give --option",
    log_limit=1 << 20,
)
PLAIN = Job("j", "c", (), (), (), Runtime("inherit"))


@pytest.mark.parametrize("job", [JOB, PLAIN])
def test_worker_reads_what_was_written(tmp_path: Path, job: Job) -> None:
    path = tmp_path / "job.json"
    path.write_text(job.dumps())
    assert load(path) == job


def test_other_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**json.loads(PLAIN.dumps()), "version": 99}))
    with pytest.raises(ValueError, match=r"job\.json: version 99, expected 5.*different versions"):
        load(path)


def test_job_of_the_first_version_is_read(tmp_path: Path) -> None:
    """A local site may have queued it before an upgrade."""
    path = tmp_path / "job.json"
    fields = json.loads(PLAIN.dumps()) | {"version": 1}
    for name in ("folders", "env_modules", "output_limit"):
        del fields[name]
    path.write_text(json.dumps(fields))
    assert load(path) == replace(PLAIN, version=1)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "null", "{}", '{"version": 2}', '{"version": 2, "blobs": [1]}', "\udcff"),
        json.dumps({**json.loads(PLAIN.dumps()), "surprise": 1}),
        json.dumps({**json.loads(PLAIN.dumps()), "runtime": []}),
        json.dumps({**json.loads(PLAIN.dumps()), "outputs": [{"kind": "log"}]}),
    ],
)
def test_what_describes_no_job_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"job"):
        load(path)


def test_damaged_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(PLAIN.dumps()[:-5])
    with pytest.raises(ValueError, match=r"job\.json: damaged: .*line 1"):
        load(path)
