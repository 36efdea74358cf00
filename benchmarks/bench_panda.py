"""Submission and polling on a PanDA server, against the published executor for PanDA.

Both drive the test server (tests/servers/panda) with the same workflow of trivial jobs and the
same Snakemake, one after the other; every request takes 100 ms longer. This one has a store in a
folder, `snakemake-executor-plugin-panda` a default storage provider `fs` in one. No job starts
before everything was measured; then they all run, without the latency, and their outputs are
checked.

- requests: from the start of Snakemake to the last answer to a submission, without those that ask
  for states, by the server's log. And those of a poll round with all jobs waiting.
- seconds to submit: from Snakemake's first hand-over of jobs to its executor, to the last answer.
- seconds of a poll round: from its first request to its last answer; rounds are parted by the
  pauses of 10 s, as Snakemake has them, between them. The median counts.
- bytes uploaded: bodies of requests, and files in the store before any job ran.

Real are both executors, panda-client and the worker's part of a job. Not real are the server, and
Snakemake inside the jobs: a script in its place writes the output. With `--real` it is.

The neighbour needs an environment of its own (it cannot work where the S3 storage plugin is
installed, and Snakemake loads it and panda-client at each start): `make bench` installs it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from panda_sides import ROOT, SITE, Measured, measure, neighbour, ours, stand_in, versions
from workflows import options, verdict

from tests.servers.panda.server import PandaServer

NEIGHBOUR = "snakemake-executor-plugin-panda"
REQUESTS_GOAL, SUBMIT_GOAL = 20.0, 10.0


def show(mine: Measured, theirs: Measured, count: int, rounds: int) -> None:
    """Print the table."""
    rows = (
        ("requests to submit", mine.submission, theirs.submission, REQUESTS_GOAL),
        ("requests of a poll round", mine.following, theirs.following, REQUESTS_GOAL),
        ("seconds to submit", mine.seconds, theirs.seconds, SUBMIT_GOAL),
        ("seconds of a poll round", median(mine.rounds), median(theirs.rounds), None),
        ("bytes uploaded", mine.uploaded, theirs.uploaded, None),
    )
    print(f"{count} jobs; median of {rounds} poll rounds")
    print(f"{'':<26}{'ours':>12}{'theirs':>12}{'ratio':>8}{'goal':>8}")
    for label, own, other, goal in rows:
        form = ",.2f" if isinstance(own, float) else ",d"
        line = f"{label:<26}{own:>12{form}}{other:>12{form}}{other / own:>8.1f}"
        print(line + (f"{goal:>8.0f}  {verdict(other / own >= goal)}" if goal else ""))
    for label, side in (("ours", mine), ("theirs", theirs)):
        paths = ", ".join(f"{number} {path}" for path, number in side.paths.items())
        taken = ", ".join(f"{seconds:.2f}" for seconds in side.rounds)
        print(f"{label}: {paths}; {side.meanwhile} polls while submitting; rounds of {taken} s")


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    venv = Path(os.environ.get("GRID_BENCH_PANDA_VENV") or ROOT / ".venv-panda")
    parser.add_argument("--venv", type=Path, default=venv, help=f"with {NEIGHBOUR}")
    parser.add_argument("--jobs", type=int, default=200, help="how many")
    parser.add_argument("--rounds", type=int, default=3, help="of polling; the median counts")
    parser.add_argument("--latency", type=float, default=0.1, help="of each request, seconds")
    parser.add_argument("--real", action="store_true", help="with Snakemake inside the jobs")
    arguments = parser.parse_args()
    compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Run both sides."""
    python = arguments.venv.absolute() / "bin" / "python"
    if not python.exists():
        print(
            f"Left out, as there is no {NEIGHBOUR} in {arguments.venv}; `make bench` installs it."
        )
        return
    here, there = versions(Path(sys.executable)), versions(python, NEIGHBOUR)
    if NEIGHBOUR not in there:
        sys.exit(f"There is nothing to compare with in {arguments.venv}: pip install {NEIGHBOUR}")
    for name, found in here.items():
        if there.get(name) != found:
            sys.exit(f"{name} is {found} here, but {there.get(name)} in {arguments.venv}")
    print(", ".join(f"{name} {found}" for name, found in there.items()))
    count, rounds = (10, 2) if arguments.quick else (arguments.jobs, arguments.rounds)
    with TemporaryDirectory(dir=arguments.folder, prefix="grid-bench-") as scratch:
        parent = Path(scratch)
        # Never the neighbour's environment: Snakemake would load panda-client in each job.
        worker = Path(sys.executable).parent if arguments.real else stand_in(parent / "bin")
        server = PandaServer.create(parent / "server", worker, sites=[SITE])
        try:
            server.start()
            sides = (ours(), neighbour(python))
            mine, theirs = (
                measure(side, server, parent, count, rounds, arguments.latency) for side in sides
            )
        finally:
            server.remove()
    show(mine, theirs, count, rounds)


if __name__ == "__main__":
    main()
