"""Inputs on the worker, beside what tests/unit/test_worker.py runs as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.description import Blob, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_shipped_runtime_is_unpacked(tmp_path: Path, compression: str) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "m.py").write_text("x = 1")
    packed = pack(scan(packages, "work"), tmp_path / "a", compression=compression)
    url = (tmp_path / "a").as_uri()
    blob = Blob(packed.digest, packed.size, url, kind="runtime", compression=compression)
    job = Job("n", "c", (), (blob,), (), Runtime("inherit"))
    stage_in(job, tmp_path, Tree(tmp_path / "tree", ()), tmp_path / "runtime")
    assert (tmp_path / "runtime" / "m.py").read_text() == "x = 1"
