"""Many jobs: what they cost on the submit host, with a grid in simulated time.

Everything of this package is real: planning, deciding, staging, journal, controller, completion.
The grid is in the process itself (scale_server.py): jobs queue, run and end by a clock that moves
on by a minute with each poll, and the worker's own code makes their reports and outputs. Two in a
hundred jobs fail once because of their site, and now and then the server does not answer.

Parts, each in processes of its own:

- `run`: 1,000 jobs and N jobs in three levels. Snakemake's jobs are made one by one, without its
  DAG and its scheduler, whose time grows on its own. `ours` is the processor time of the process,
  less that of the grid and of making Snakemake's jobs. Memory kept is what the process
  has grown by since its first 300 jobs.
- `return`: a process is killed with N/2 jobs on the grid; another one plans them again and adopts
  them, until the server was asked for all.
- `history`: `snakemake-grid status` and `report` on a journal of N jobs, copies of those of a run.
- `snakemake`: as many jobs through Snakemake itself as `--through-snakemake` says, a tenth of
  which may be on the grid at a time.
- `graph`: Snakemake's dry run of N jobs, and of a tenth of them.
"""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workflows import options, project, snakemake, verdict

SNAKEFILE = """
rule all:
    input: expand("third/{n}.txt", n=range(int(config.get("count", 2))))
rule first:
    output: "first/{n}.txt"
    shell: "echo {wildcards.n} > {output}"
rule second:
    input: "first/{n}.txt"
    output: "second/{n}.txt"
    shell: "cat {input} > {output}"
rule third:
    input: "second/{n}.txt"
    output: "third/{n}.txt"
    shell: "cat {input} > {output}"
"""
PARTS = ("run", "return", "history", "snakemake", "graph")
RUN = Path(__file__).resolve().with_name("scale_run.py")
FEW, WARM = 1000, 300
_COMMAND = "from snakemake_executor_plugin_grid.cli import main; main()"


def measured(how: str, folder: Path, jobs: int, limit: int) -> dict[str, Any]:
    """Run a process on the simulated grid, and return its figures."""
    result = folder.parent / f"{how}.json"
    result.unlink(missing_ok=True)
    ran = subprocess.run(
        [sys.executable, str(RUN), how, str(result), str(folder), str(jobs), str(limit)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, -signal.SIGKILL):
        sys.exit(f"{how} failed ({ran.returncode}):\n{ran.stdout[-3000:]}")
    figures: dict[str, Any] = json.loads(result.read_text())
    return figures


def row(what: str, value: str, goal: str = "", met: bool | None = None) -> None:
    """Print a row of the table."""
    print(f"{what:<58}{value:>16}{goal:>16}  {'' if met is None else verdict(met)}", flush=True)


def run(parent: Path | None, jobs: int, limit: int) -> None:
    """Measure runs of few and of many jobs."""
    costs = {}
    for count in sorted({min(FEW, jobs), jobs}):
        with project(parent, SNAKEFILE) as folder:
            seen = measured("direct", folder, count, limit)
        costs[count] = cost = seen["ours"] * 1000 / seen["jobs"]
        row(f"{seen['jobs']:,} jobs: processor ms per job", f"{cost:.2f}", "8", cost <= 8)
        row("  wall, grid included", f"{seen['wall']:.0f} s")
        kept, most = seen["kept_kb"] / (seen["jobs"] - WARM), seen["most_kb"] / 1024
        row("  memory kept per job", f"{kept:.2f} kB", "5", kept <= 5)
        row("  memory at most, beyond that before the run", f"{most:.0f} MB")
        entries = seen["entries"]
        row(f"  most entries: {seen['folder']}", f"{entries:,}", "1,000", entries <= 1000)
        calls = seen["calls"]
        row(f"  calls for states in one of {seen['rounds']} poll rounds, most", f"{calls}", "1")
    if len(costs) > 1:
        ratio = costs[max(costs)] / costs[min(costs)]
        row("  of many over of few", f"{ratio:.2f}", "1.25", ratio <= 1.25)


def come_back(parent: Path | None, jobs: int) -> None:
    """Measure how long a run needs to continue after kill -9."""
    with project(parent, SNAKEFILE) as folder:
        each = measured("killed", folder, jobs, jobs)["each_kb"]
        seen = measured("return", folder, jobs, jobs)
    adopted = seen["adopted"]
    row(
        f"back with {adopted:,} of {jobs:,} jobs after kill -9", f"{seen['seconds']:.1f} s", "120 s"
    )
    row("  of which until the first job", f"{seen['prepared']:.1f} s")
    row("  processor ms per job", f"{seen['cpu'] * 1000 / jobs:.2f}")
    row("memory of a job on the grid", f"{each:.2f} kB", "5", each <= 5)


def history(parent: Path | None, jobs: int) -> None:
    """Measure the commands on a journal of many jobs."""
    with project(parent, SNAKEFILE) as folder:
        measured("direct", folder, min(FEW, jobs), FEW)
        total = multiply(folder / ".snakemake/grid/grid.sqlite", jobs)
        for command, limit in (("status", 2.0), ("report", 60.0)):
            began, before = time.perf_counter(), _spent()
            ran = subprocess.run(
                [sys.executable, "-c", _COMMAND, command],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            took = time.perf_counter() - began
            spent = _spent() - before
            if ran.returncode:
                sys.exit(f"{command} failed:\n{ran.stdout[-3000:]}")
            row(
                f"{command} of {total:,} submissions",
                f"{took:.1f} s",
                f"{limit:g} s",
                took <= limit,
            )
            row("  processor time", f"{spent:.1f} s")
        size = (folder / "grid-report.html").stat().st_size / 1e6
        row("  size of the page", f"{size:.1f} MB", "20 MB", size <= 20)


def _spent() -> float:
    """Return the processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def multiply(database: Path, jobs: int) -> int:
    """Copy the rows of a journal until it has so many; return how many it has."""
    with sqlite3.connect(database) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(jobs)")]
        one = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
        changed = {
            "name": "name || 'x' || {0}",
            "origin": "origin || 'x' || {0}",
            "outputs": "replace(outputs, '.txt', '-' || {0} || '.txt')",
            "wildcards": "replace(wildcards, '\"}}', '-' || {0} || '\"}}')",
            **dict.fromkeys(
                ("changed", "began", "sent", "accepted", "running", "ended", "finished"), ""
            ),
        }
        for number in range(1, max(1, jobs // one)):
            values = ", ".join(
                (changed[name] or f"{name} + 60 * {{0}}").format(number)
                if name in changed
                else name
                for name in columns
            )
            names = ", ".join(columns)
            connection.execute(
                f"INSERT INTO jobs ({names}) SELECT {values} FROM jobs "  # noqa: S608 - our own names
                "WHERE name NOT LIKE '%x%'"
            )
        total = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    connection.close()
    return int(total)


def through_snakemake(parent: Path | None, jobs: int, limit: int) -> None:
    """Measure what Snakemake needs itself, with few slots so that its scheduler has to choose."""
    count = jobs // 3
    for options_of in (
        ["--scheduler", "greedy"],
        ["--scheduler", "ilp"],
        ["--scheduler", "ilp", "--scheduler-subsample", "500"],
    ):
        with project(parent, SNAKEFILE) as folder:
            result = folder.parent / "snakemake.json"
            args = ["--executor", "grid", "--jobs", str(limit), *options_of]
            args += ["--config", f"count={count}", "--quiet"]
            program = (str(RUN), "snakemake", str(result), str(folder), str(limit))
            took = snakemake(folder, *args, program=program)
            spent = json.loads(result.read_text())
        ours = sum(spent.get(part, 0.0) for part in ("submit", "poll", "loop", "staging"))
        done = 3 * count
        row(f"{done:,} jobs, -j {limit}, {' '.join(options_of)}", f"{took:.0f} s")
        row("  ours, processor ms per job", f"{(ours - spent['grid']) * 1000 / done:.2f}", "8")
        row("  Snakemake itself", f"{spent['snakemake'] * 1000 / done:.2f}")
        row("  peak memory", f"{spent['peak_mb']:.0f} MB")


def graph(parent: Path | None, jobs: int) -> None:
    """Measure how long Snakemake builds its DAG: of all jobs, and of a tenth of them."""
    for batch in ([], ["--batch", "all=1/10"]):
        with project(parent, SNAKEFILE) as folder:
            args = ["--dry-run", "--quiet", "all", "--config", f"count={jobs // 3}", *batch]
            began = _spent()
            took = snakemake(folder, *args)
            what = "a tenth of them, by --batch" if batch else f"the DAG of {jobs // 3 * 3:,} jobs"
            row(what, f"{took:.0f} s")
            row("  processor time", f"{_spent() - began:.0f} s")


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, default=100_000, help="N (default: 100,000)")
    parser.add_argument(
        "--limit", type=int, default=5000, help="jobs on the grid at a time (default: 5,000)"
    )
    parser.add_argument("--through-snakemake", type=int, default=10_000, metavar="N")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one")
    arguments = parser.parse_args()
    jobs = 600 if arguments.quick else arguments.jobs
    through = min(jobs, arguments.through_snakemake)
    parent = arguments.folder
    chosen = arguments.part or PARTS
    print(f"{'':<58}{'':>16}{'goal':>16}")
    if "run" in chosen:
        run(parent, jobs, arguments.limit)
    if "return" in chosen:
        come_back(parent, jobs // 2)
    if "history" in chosen:
        history(parent, jobs)
    if "snakemake" in chosen:
        through_snakemake(parent, through, max(1, min(arguments.limit, through // 10)))
    if "graph" in chosen:
        graph(parent, jobs)


if __name__ == "__main__":
    main()
