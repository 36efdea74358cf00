"""Questions to DIRAC's file catalog, against the storage plugin ``dirac``, on a real DIRAC server.

The server is that of the tests (tests/servers/dirac): brought up for the benchmark and taken down
after it, or with `--server` one that runs already. Jobs run on this host, without an executor.

- chain: inputs on the grid, as many temporary files on the grid made from them, and a sum of those.
  Counted are the questions to the file catalog and the seconds that Snakemake waits for them, the
  start of our client included; the transfers are shown for information. The sides take turns, each
  in a folder of its own; with `--repeat`, medians are compared.
- DAG: `snakemake --dry-run` for 1,000 registered files, one job for each.

The storage plugin `dirac` needs DIRAC in the Python of Snakemake: `--theirs` names a virtual
environment with both and `snakemake-storage-plugin-dirac` (GRID_BENCH_DIRAC_STORAGE_VENV).
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench_dirac import dirac_server
from dirac_sides import ROOT
from workflows import options, project, verdict

from tests.grid_storage import chain_of
from tests.servers.dirac.fixture import what_is_missing
from tests.servers.dirac.server import UNSET, DiracServer

CALLS_GOAL, SECONDS_GOAL, DAG_CALLS_GOAL = 40, 20, 10
ELEMENT = "SE-1"
KINDS = ("question", "download", "upload", "removal")
DAG = """
rule all:
    input: expand("out/{n}.txt", n=range(COUNT))
rule one:
    input: storage.grid("BASE/dag/{n}.txt")
    output: "out/{n}.txt"
    shell: "cp {input} {output}"
"""
FILL = """
import sys
import DIRAC
DIRAC.initialize()
from DIRAC.DataManagementSystem.Client.DataManager import DataManager
from DIRAC.Resources.Catalog.FileCatalog import FileCatalog
base, count, entries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for n in range(count):
    with open(f"{n}.txt", "w") as stream:
        stream.write(f"file {n}\\n")
    reply = DataManager().putAndRegister(f"{base}/in/{n}.txt", f"{n}.txt", "SE-1")
    assert reply["OK"] and not reply["Value"]["Failed"], reply
files = {
    f"{base}/dag/{n}.txt": {"PFN": f"{base}/dag/{n}.txt", "Size": 7, "SE": "SE-1", "GUID": "",
                            "Checksum": "00000001"}
    for n in range(entries)
}
if files:
    reply = FileCatalog().addFile(files)
    assert reply["OK"] and not reply["Value"]["Failed"], reply
"""


@dataclass
class Side:
    """One of the two that are compared."""

    python: Path
    provider: str
    scheme: str
    options: tuple[str, ...]
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)

    def run(self, server: DiracServer, folder: Path, *args: str) -> dict[str, list[float]]:
        """Run Snakemake; return the seconds of each call, by kind."""
        log = folder / f"{self.provider}.calls"
        log.unlink(missing_ok=True)
        program = Path(__file__).with_name("grid_data_timed.py")
        environment = {
            key: value
            for key, value in server.client_environment().items()
            if not key.startswith("SNAKEMAKE")
        }
        options = ("--cores", "2", "--nocolor", *args, *self.options)
        ran = subprocess.run(
            [str(self.python), str(program), str(log), *options],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT) if self.provider == "grid" else ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            sys.exit(f"{self.provider} failed:\n{(ran.stdout + ran.stderr)[-3000:]}")
        found: dict[str, list[float]] = defaultdict(list)
        for line in log.read_text().splitlines():
            kind, seconds = line.split()
            found[kind].append(float(seconds))
        return found


def chain(
    server: DiracServer, sides: list[Side], base: str, count: int, arguments: argparse.Namespace
) -> None:
    """Compare the sides."""
    for number in range(arguments.repeat):
        for side in sides:
            grid_folder = f"{side.scheme}{base}"
            text = chain_of(f"{grid_folder}/in", f"{grid_folder}/{side.provider}-{number}", count)
            text = text.replace("storage.grid", f"storage.{side.provider}")
            with project(arguments.folder, text) as folder:
                begun = time.perf_counter()
                found = side.run(server, folder)
                side.walls.append(time.perf_counter() - begun)
                assert len((folder / "sum.txt").read_text().splitlines()) == count
            side.calls.append(len(found["question"]))
            side.seconds.append(sum(found["question"]))
            shown = ", ".join(f"{len(found[k])} {k}s {sum(found[k]):.1f} s" for k in KINDS)
            print(f"  {side.provider}: {side.walls[-1]:.1f} s: {shown}", flush=True)
    print(f"{count} inputs and {count} temporary files, median of {arguments.repeat}")
    print(f"{'':<12}{'questions':>10}{'seconds':>10}{'whole run':>11}")
    for side in sides:
        line = f"{side.provider:<12}{median(side.calls):>10.0f}{median(side.seconds):>10.2f}"
        print(f"{line}{median(side.walls):>11.1f}")
    if len(sides) == 2:
        ours, theirs = sides
        calls = median(theirs.calls) / median(ours.calls)
        seconds = median(theirs.seconds) / median(ours.seconds)
        walls = median(theirs.walls) / median(ours.walls)
        print(f"{'ratio':<12}{calls:>10.1f}{seconds:>10.1f}{walls:>11.1f}")
        print(f"{'goal':<12}{CALLS_GOAL:>10}{SECONDS_GOAL:>10}")
        words = (verdict(calls >= CALLS_GOAL), verdict(seconds >= SECONDS_GOAL))
        print(f"{'':<12}{words[0]:>10}{words[1]:>10}", flush=True)


def dag(server: DiracServer, ours: Side, base: str, count: int, folder: Path | None) -> None:
    """Count the questions for a DAG."""
    text = DAG.replace("BASE", f"lfn:{base}").replace("COUNT", str(count))
    with project(folder, text) as place:
        begun = time.perf_counter()
        found = ours.run(server, place, "--dry-run", "--quiet")
        took = time.perf_counter() - begun
    calls = sum(map(len, found.values()))
    asked = f"{calls} calls, {sum(found['question']):.2f} s of {took:.1f} s"
    print(f"The DAG of {count} files: {asked}")
    print(f"goal: {DAG_CALLS_GOAL} calls  {verdict(calls <= DAG_CALLS_GOAL)}")


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--server", type=Path, help="folder of one that runs, with nothing to do")
    venv = Path(os.environ.get("GRID_TEST_DIRAC_VENV") or ROOT / ".venv-dirac")
    parser.add_argument("--venv", type=Path, default=venv, help="with DIRAC[server]")
    theirs = Path(os.environ.get("GRID_BENCH_DIRAC_STORAGE_VENV") or ROOT / ".venv-dirac-storage")
    parser.add_argument("--theirs", type=Path, default=theirs, help="with the plugin `dirac`")
    parser.add_argument("--files", type=int, default=20, help="inputs of the chain")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each side")
    arguments = parser.parse_args()
    if arguments.server is None and (reason := what_is_missing(arguments.venv)):
        print(f"Left out, as {reason}; `make dirac-server` installs it.")
        return
    count, entries = (3, 30) if arguments.quick else (arguments.files, 1000)
    for name in UNSET:
        os.environ.pop(name, None)
    with dirac_server(arguments.server, arguments.venv) as server, project(None, "") as scratch:
        python = server.settings.python
        base = f"/testvo/user/c/ciuser/bench-{secrets.token_hex(4)}"
        subprocess.run(
            [str(python), "-c", FILL, base, str(count), str(entries)],
            cwd=scratch,
            env=server.client_environment(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        grid = ("--storage-grid-dirac-python", str(python), "--storage-grid-storage-element")
        ours = Side(Path(sys.executable), "grid", "lfn:", (*grid, ELEMENT))
        sides = [ours]
        if (arguments.theirs / "bin" / "python").exists():
            element = ("--storage-dirac-storage-element", ELEMENT)
            sides.append(Side(arguments.theirs / "bin" / "python", "dirac", "LFN:", element))
        else:
            print(f"Without the plugin `dirac`: there is no {arguments.theirs}.")
        chain(server, sides, base, count, arguments)
        dag(server, ours, base, entries, arguments.folder)


if __name__ == "__main__":
    main()
