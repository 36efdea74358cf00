from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.staging.worker_zip import write_worker

PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from worker.archive.compression import _zstd_module
print(_zstd_module().__name__)
"""


@pytest.mark.skipif(find_spec("zstandard") is None, reason="no zstandard installed")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="zstd is in the standard library")
def test_zstandard_is_found_by_a_worker_that_starts_without_site_packages(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    ended = subprocess.run(
        [sys.executable, "-S", "-I", "-c", PROGRAM, str(tmp_path / "worker.pyz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "zstandard\n"
