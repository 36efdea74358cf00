from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from snakemake_executor_plugin_grid.staging.worker_zip import write_worker

PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
from worker import preload
preload.import_all()
print(*sorted(name for name in sys.modules if name.startswith("worker.")), "tarfile" in sys.modules)
"""


def test_all_modules_of_the_worker_program_are_imported(tmp_path: Path) -> None:
    write_worker(tmp_path / "worker.pyz")
    ended = subprocess.run(
        [sys.executable, "-S", "-I", "-c", PROGRAM, str(tmp_path / "worker.pyz")],
        capture_output=True,
        text=True,
        check=True,
    )
    *found, tarfile = ended.stdout.split()
    assert {"worker.fetch", "worker.archive.unpack", "worker.decided.benchmark"} <= {*found}
    assert tarfile == "True"
