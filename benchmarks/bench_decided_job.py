"""Processor time of a trivial decided job on the worker node.

The job writes a line into a file, which comes back: staging in, the shell, checks, packing, report.
Sides, whose runs take turns, and of which medians are compared:

- `bash`: the shell with the same command, and nothing else
- `python`: an interpreter that starts as the worker does and ends at once
- `cold`: the worker program, started afresh, as on a grid and by --grid-local-cold
- `forked`: the worker in a fork of a process that has imported it

The time is what the kernel counts for the process and its children (wait4). The goal is absolute,
as bash is done in a millisecond or two: a run on a busy machine may miss it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from workflows import options, verdict

from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker.decided.decision import (
    Command,
    DecidedOutput,
    Decision,
    Shell,
    Step,
)
from snakemake_executor_plugin_grid.worker.description import Job, Output
from snakemake_executor_plugin_grid.worker.run import run_job
from snakemake_executor_plugin_grid.worker.runtime import Runtime

GOAL_MS = 60.0
TEXT = "set -euo pipefail;  echo done > out"
FLAGS = ("-S", "-I")
JOB = Job(
    name="job",
    command="",
    nesting=(),
    blobs=(),
    outputs=(Output("work/out"),),
    runtime=Runtime("inherit"),
    decision=Decision(
        (
            (
                Step(
                    "all",
                    outputs=(DecidedOutput("out"),),
                    commands=(Command("echo done > out"),),
                    shell=Shell("bash", "set -euo pipefail;  "),
                ),
            ),
        )
    ),
)


def sandbox(folder: Path) -> Path:
    """Make the folder of a job."""
    folder.mkdir()
    (folder / "job.json").write_text(JOB.dumps())
    (folder / "environment.json").write_text("{}")
    return folder


def spent(start: Callable[[], int]) -> float:
    """Start a process, wait for it, and return its processor milliseconds."""
    _, status, usage = os.wait4(start(), 0)
    assert status == 0, f"it ended with status {status}"
    return (usage.ru_utime + usage.ru_stime) * 1000


def program(*argv: str, folder: Path) -> Callable[[], int]:
    """Return what starts a program."""

    def start() -> int:
        os.chdir(folder)
        return os.posix_spawnp(argv[0], argv, os.environ)

    return start


def forked(folder: Path) -> Callable[[], int]:
    """Return what runs a job in a fork of this process."""

    def start() -> int:
        pid = os.fork()
        if pid == 0:
            os._exit(run_job(folder))
        return pid

    return start


def run(folder: Path, number: int) -> dict[str, float]:
    """Run each side once; return processor milliseconds."""
    worker = str(folder / "worker.pyz")
    cold, fork = (sandbox(folder / f"{side}{number}") for side in ("cold", "fork"))
    times = {
        "bash": spent(program("bash", "-c", TEXT, folder=folder)),
        "python": spent(program(sys.executable, *FLAGS, "-c", "pass", folder=folder)),
        "cold": spent(program(sys.executable, *FLAGS, worker, str(cold), folder=folder)),
        "forked": spent(forked(fork)),
    }
    for one in (cold, fork):
        assert json.loads((one / "report.json").read_text())["reason"] == "success"
    return times


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--repeat", type=int, default=30, help="times; the median counts")
    arguments = parser.parse_args()
    repeat = 3 if arguments.quick else arguments.repeat
    with TemporaryDirectory(dir=arguments.folder) as top:
        folder = Path(top)
        write_worker(folder / "worker.pyz")
        taken = [run(folder, number) for number in range(repeat)]
        os.chdir("/")
    print("Processor milliseconds of a trivial decided job")
    print(f"{'':<10}{'median':>10}{'/ bash':>10}{'/ python':>10}{'goal':>10}")
    medians = {side: median(times[side] for times in taken) for side in taken[0]}
    for side, time in medians.items():
        ratios = f"{time / medians['bash']:>10.1f}{time / medians['python']:>10.1f}"
        goal = f"{GOAL_MS:>7.0f} ms  {verdict(time <= GOAL_MS)}" if side == "cold" else ""
        print(f"{side:<10}{time:>7.1f} ms{ratios}{goal}")


if __name__ == "__main__":
    main()
