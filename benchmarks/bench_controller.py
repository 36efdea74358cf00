"""Processor time of this package's code on the submit host, per trivial job.

A run of N trivial jobs, all submitted at once, with all real but the workers: Snakemake, executor,
staging, journal, local backend, and the local site as a process of its own. In place of each
worker a thread of the site makes the job's output and packs and reports it by the worker's own
code, so that thousands of jobs pass in a minute. See metered.py.

The kernel's clock of each thread is read wherever Snakemake and this package meet, so that nothing
is sampled and waiting does not count:

- `submit`: calls from Snakemake's main thread, less its own making of the job's command
- `poll`: Snakemake's polling thread, less its own callbacks
- `loop`: the controller's thread
- `staging`: the threads that pack, submit, fetch, unpack and check
- `site`: the local site's main thread, which a run on a real grid does not have

`ours` is the sum. `snakemake` is the rest of the process, start included, for comparison. `ours`
holds what happens once per run (sources, checks), which counts for more where there are few jobs.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from workflows import TRIVIAL, grid, options, project, snakemake, verdict

GOAL_MS = 50.0
GROWTH = 1.25
PARTS = ("submit", "poll", "loop", "staging", "site")
METERED = Path(__file__).resolve().with_name("metered.py")


def run(count: int, parent: Path | None) -> dict[str, float]:
    """Run once.

    Returns:
        Seconds by part, and ``peak_mb`` of memory.
    """
    with project(parent, TRIVIAL.format(count=count)) as folder:
        result = folder.parent / "spent.json"
        args = [*grid(folder), "--grid-local-cold", "--jobs", str(count)]
        snakemake(folder, *args, program=(str(METERED), str(result)))
        made = {path.read_text() for path in (folder / "out").iterdir()}
        assert made == {f"work/out/{number}.txt\n" for number in range(count)}
        spent: dict[str, float] = json.loads(result.read_text())
        site = result.with_suffix(".site")
        for _ in range(100):  # it ends a moment after Snakemake
            if site.exists():
                break
            time.sleep(0.1)
        spent["site"] = json.loads(site.read_text())["site"]
        return spent


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument(
        "--jobs", type=int, nargs="+", default=[100, 1000, 5000], help="how many, one run each"
    )
    arguments = parser.parse_args()
    counts = [20, 200] if arguments.quick else sorted(arguments.jobs)
    print("Processor milliseconds per job")
    columns = "".join(f"{part:>10}" for part in (*PARTS, "snakemake"))
    print(f"{'jobs':>6}{'ours':>8}{columns}{'peak':>10}{'goal':>7}")
    costs = {}
    for count in counts:
        spent = run(count, arguments.folder)
        costs[count] = ours = sum(spent[part] for part in PARTS) * 1000 / count
        parts = (f"{spent[part] * 1000 / count:>10.2f}" for part in (*PARTS, "snakemake"))
        end = f"{spent['peak_mb']:>7.0f} MB{GOAL_MS:>7.0f}  {verdict(ours < GOAL_MS)}"
        print(f"{count:>6}{ours:>8.2f}", *parts, end, sep="", flush=True)
    few, many = min(costs), max(costs)
    growth = costs[many] / min(costs.values())
    print(f"At {many} jobs over the least of all: {growth:.2f}", end="")
    print(f"{GROWTH:>9.2f}  {verdict(growth <= GROWTH)}" if many > few else "")


if __name__ == "__main__":
    main()
