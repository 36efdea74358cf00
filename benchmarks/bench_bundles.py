"""Many small jobs: bundles against jobs alone and against groups of Snakemake.

The same workflow of jobs of two seconds, one in a hundred of which fails, runs on the servers of
the tests (tests/servers): a real DIRAC server and the PanDA test server, each with twenty slots, so
that no side can have more than 600 jobs per minute. The PanDA test server is tried twice: jobs pass
through its states at once, or, as on real servers, wait in each. The sides run one after the other,
with `--keep-going`.

- bundled: `--grid-bundle auto`, after four jobs of the rule have been run to learn from.
- alone: each job is a grid job. Fewer jobs (`--alone`), as the rate is what counts.
- groups: `group:` with `--group-components 20`, as many jobs as alone; Snakemake runs the jobs of a
  group side by side, on as many processors.

A rate is succeeded jobs per minute of wall time, the start of Snakemake included. Lost are jobs
without an output, besides those that fail by themselves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from workflows import options, project, verdict

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers.dirac.fixture import what_is_missing  # noqa: E402
from tests.servers.dirac.server import DiracServer  # noqa: E402
from tests.servers.panda.server import UNSET, PandaServer  # noqa: E402
from tests.servers.panda.settings import Delays  # noqa: E402

ALONE_GOAL, GROUPS_GOAL = 5.0, 1.0
IN_A_HUNDRED = 50
COMPONENTS = SLOTS = 20
WORKFLOW = """
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule small:
    output: "out/{{n}}.txt"
    {group}
    shell: "sleep {seconds}; test $(({{wildcards.n}} % 100)) != {fails} && echo > {{output}}"
"""


class Measured(NamedTuple):
    """What a side did.

    Attributes:
        jobs: How many there were.
        succeeded: How many succeeded.
        seconds: From the start of Snakemake to its end.
    """

    jobs: int
    succeeded: int
    seconds: float

    @property
    def rate(self) -> float:
        """Succeeded jobs per minute."""
        return 60 * self.succeeded / self.seconds

    @property
    def lost(self) -> int:
        """Jobs that did not fail by themselves."""
        failing = len(range(IN_A_HUNDRED, self.jobs, 100))
        return self.jobs - failing - self.succeeded


def measure(folder: Path, count: int, args: Sequence[str], *, learn: bool) -> Measured:
    """Run the workflow of a folder.

    Args:
        folder: Working directory.
        count: Number of jobs.
        args: Of Snakemake.
        learn: Whether some jobs are run first, which do not count.
    """
    first = [f"out/{n}.txt" for n in range(4)] if learn else []
    if learn:
        run(folder, *args, *first)
    began = time.perf_counter()
    run(folder, *args)
    took = time.perf_counter() - began
    made = {path.name for path in (folder / "out").iterdir()} - {Path(one).name for one in first}
    return Measured(count - len(first), len(made), took)


def run(folder: Path, *args: str) -> None:
    """Run Snakemake; jobs may fail."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE_P")}
    command = [sys.executable, "-m", "snakemake", "--executor", "grid", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, "--workflow-profile", "none", *args],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        sys.exit(f"Snakemake failed ({done.returncode}), its last words:\n{done.stdout[-3000:]}")


def compare(name: str, parent: Path | None, args: Sequence[str], counts: dict[str, int]) -> None:
    """Run all sides on a server, and print the table."""
    sides = {
        "bundled": (["--grid-bundle", "auto"], ""),
        "alone": ([], ""),
        "groups": (["--group-components", f"g={COMPONENTS}"], "group: 'g'"),
    }
    found: dict[str, Measured] = {}
    for side, (more, group) in sides.items():
        count = counts[side]
        text = WORKFLOW.format(count=count, seconds=2, fails=IN_A_HUNDRED, group=group)
        with project(parent, text) as folder:
            one = measure(folder, count, ["-j", "1000", *args, *more], learn=side == "bundled")
        found[side] = one
        print(f"  {name}, {side}: {one.jobs} jobs in {one.seconds:.1f} s", flush=True)
    print(f"{name:<12}{'jobs':>6}{'lost':>6}{'jobs/min':>10}{'ratio':>8}{'goal':>8}")
    mine = found["bundled"]
    for side, one in found.items():
        line = f"{side:<12}{one.jobs:>6}{one.lost:>6}{one.rate:>10.1f}"
        goal = {"alone": ALONE_GOAL, "groups": GROUPS_GOAL}.get(side)
        ratio = mine.rate / one.rate
        print(line + (f"{ratio:>8.2f}{goal:>8.0f}  {verdict(ratio >= goal)}" if goal else ""))
    print(f"{'lost by bundles':<42}{0:>8}  {verdict(mine.lost == 0)}", flush=True)


@contextmanager
def dirac_server(venv: Path) -> Iterator[list[str]]:
    """Bring a server up; return the options for it."""
    with TemporaryDirectory(prefix="dirac-") as scratch:  # a socket's path must be short
        server = DiracServer.create(
            Path(scratch, "server"), venv, Path(sys.executable).parent, slots=SLOTS
        )
        try:
            server.up()
            os.environ.update(server.environment())
            python = venv.absolute() / "bin" / "python"
            yield ["--grid-backend", "dirac", "--grid-dirac-python", str(python)]
        finally:
            server.remove()


@contextmanager
def panda_server(step: float) -> Iterator[list[str]]:
    """Start a server; return the options for it."""
    with TemporaryDirectory(prefix="panda-") as scratch:
        server = PandaServer.create(
            Path(scratch, "server"), sites=["SITE_A"], slots=SLOTS, delays=Delays(step=step)
        )
        try:
            server.start()
            for name in UNSET:
                os.environ.pop(name, None)
            os.environ.update(server.environment())
            store = Path(scratch, "store").as_uri()
            yield ["--grid-backend", "panda", "--grid-store", store]
        finally:
            server.remove()


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    venv = Path(os.environ.get("GRID_TEST_DIRAC_VENV") or ROOT / ".venv-dirac")
    parser.add_argument("--venv", type=Path, default=venv, help="with DIRAC[server]")
    parser.add_argument("--jobs", type=int, default=1000, help="how many, bundled")
    parser.add_argument("--alone", type=int, default=200, help="how many alone, and in groups")
    parser.add_argument(
        "--steps",
        type=float,
        nargs="+",
        default=[Delays.step, 5.0],
        help="seconds of each intermediate state of a job of PanDA (default: as in the tests, and "
        "5; on a real server seconds to minutes)",
    )
    parser.add_argument("--only", choices=("dirac", "panda"), nargs="+", help="on these servers")
    run_all(parser.parse_args())


def run_all(arguments: argparse.Namespace) -> None:
    """Compare on each server."""
    servers = arguments.only or ["dirac", "panda"]
    jobs, alone = (60, 20) if arguments.quick else (arguments.jobs, arguments.alone)
    counts = {"bundled": jobs, "alone": alone, "groups": alone}
    if "panda" in servers:
        for step in arguments.steps:
            with panda_server(step) as args:
                print(f"PanDA, {step:g} s in each state between submitted and finished")
                compare("PanDA", arguments.folder, args, counts)
    if "dirac" in servers:
        if reason := what_is_missing(arguments.venv):
            print(f"DIRAC is left out, as {reason}; `make dirac-server` installs it.")
            return
        with dirac_server(arguments.venv) as args:
            compare("DIRAC", arguments.folder, args, counts)


if __name__ == "__main__":
    main()
