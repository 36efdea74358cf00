"""Wall time of trivial jobs, against the executor cluster-generic.

100 jobs that write a line each, four at a time. What a user without a plugin for the grid has
today is snakemake-executor-plugin-cluster-generic with a submit and a status command. Here these
are two lines of sh: the job script is started in the background, its exit code goes to a file, and
the status command looks at that file. So the neighbour has no queue to wait for, and files that do
not travel. It starts a cold Snakemake per job, as every executor does whose jobs run elsewhere.

Both sides start four jobs at a time, and are told --seconds-between-status-checks 1 (an integer
option, its default is 10) and --max-status-checks-per-second 1000. On its local backend this
executor asks more often by itself. `cold` is this executor with --grid-local-cold: it then starts
a new Python for each job, as on a worker node.

The sides take turns; medians are compared.
"""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from workflows import TRIVIAL, grid, options, project, snakemake, verdict

GOAL = 6.0
NEIGHBOUR = "snakemake-executor-plugin-cluster-generic"
SUBMIT = """#!/bin/sh
( "$1" > "$1.log" 2>&1; echo $? > {states}/part.$$; mv {states}/part.$$ {states}/$$ ) \
> /dev/null 2>&1 &
echo $$
"""
STATUS = """#!/bin/sh
read code 2> /dev/null < {states}/"$1" || {{ echo running; exit; }}
[ "$code" = 0 ] && echo success || echo failed
"""


def run(side: str, count: int, parent: Path | None) -> float:
    """Run the workflow once.

    Returns:
        Seconds.
    """
    with project(parent, TRIVIAL.format(count=count)) as folder:
        common = ["--jobs", "4", "--seconds-between-status-checks", "1"]
        common += ["--max-status-checks-per-second", "1000"]
        if side == "cluster-generic":
            own = ["--executor", side, *_commands(folder.parent)]
        else:
            own = [*grid(folder), "--grid-local-cores", "4"]
            own += ["--grid-local-cold"] if side == "cold" else []
        took = snakemake(folder, *common, *own)
        made = {path.read_text() for path in (folder / "out").iterdir()}
        assert made == {f"{number}\n" for number in range(count)}
        return took


def _commands(folder: Path) -> list[str]:
    """Write the neighbour's commands; return its options."""
    states = folder / "states"
    states.mkdir()
    args = []
    for name, text in (("submit", SUBMIT), ("status", STATUS)):
        script = folder / name
        script.write_text(text.format(states=shlex.quote(str(states))))
        script.chmod(0o755)
        args += [f"--cluster-generic-{name}-cmd", str(script)]
    return args


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--jobs", type=int, default=100, help="how many")
    parser.add_argument("--repeat", type=int, default=1, help="times; the median counts")
    arguments = parser.parse_args()
    if find_spec(NEIGHBOUR.replace("-", "_")) is None:
        sys.exit(f"There is nothing to compare with: pip install {NEIGHBOUR}")
    count = 8 if arguments.quick else arguments.jobs
    times: dict[str, list[float]] = {"cluster-generic": [], "warm": [], "cold": []}
    for _ in range(arguments.repeat):
        for side, taken in times.items():
            taken.append(run(side, count, arguments.folder))
    theirs = median(times["cluster-generic"])
    print(f"{count} trivial jobs, 4 at a time")
    print(f"{'':<18}{'wall':>10}{'per job':>12}{'ratio':>8}{'goal':>8}")
    for side, taken in times.items():
        wall = median(taken)
        ratio = theirs / wall
        line = f"{side:<18}{wall:>8.1f} s{wall / count * 1000:>9.0f} ms{ratio:>8.2f}"
        own = side in ("warm", "cold")
        print(line + (f"{GOAL:>8.2f}  {verdict(ratio >= GOAL)}" if own else ""))


if __name__ == "__main__":
    main()
