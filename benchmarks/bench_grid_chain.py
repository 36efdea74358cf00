"""Bytes through the submit host for a chain of jobs that pass a file on, on a storage server.

Five jobs on the local backend: one makes a file of 200 MB, three copy it, one takes its size. In
one run the files are named by URLs in `storage.grid(…)` and stay on the server; in the other they
are plain files, which come back from a store (`--grid-store`) on the same server. That is Apache
with WebDAV, as in the tests (tests/servers/stores); it needs Debian's apache2-bin.

Counted is what the process of Snakemake sends and receives over TCP, file by file and in bytes,
and what the report says of the workers. The sides take turns; with `--repeat`, medians are
compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

from workflows import grid, options, project, snakemake, verdict

from tests.servers.stores.webdav import PROGRAM, TOKEN, WebDavServer

STEPS = 5
COUNTED = Path(__file__).with_name("grid_chain_counted.py")
REPORT = "from snakemake_executor_plugin_grid.cli.main import main; main()"
CHAIN = """
def at(n):
    return {place}
rule all:
    input: "size.txt"
rule make:
    output: at(0)
    shell: "head -c {size} /dev/urandom >{{output}}"
for n in range(1, {steps} - 1):
    rule:
        name: f"pass{{n}}"
        input: at(n - 1)
        output: at(n)
        shell: "cp {{input}} {{output}}"
rule size:
    input: at({steps} - 2)
    output: "size.txt"
    shell: "wc -c <{{input}} >{{output}}"
"""
SIDES = {"in storage.grid": 'storage.grid("{url}/run/" + str(n) + ".bin")', "plain": 'f"{{n}}.bin"'}


def run(server: WebDavServer, side: str, size: int, parent: Path | None) -> dict[str, float]:
    """Run the chain once; return what was counted."""
    server.clear()
    place = SIDES[side].format(url=server.url)
    with project(parent, CHAIN.format(place=place, size=size, steps=STEPS)) as folder:
        counted = folder.parent / "counted.json"
        took = snakemake(
            folder,
            *grid(folder),
            *("--grid-store", f"{server.url}/store", "--jobs", "2"),
            program=(str(COUNTED), str(counted)),
        )
        assert int((folder / "size.txt").read_text()) == size
        told = json.loads(counted.read_text())
        report = subprocess.run(
            [sys.executable, "-c", REPORT, "report", "--json"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        totals = json.loads(report.stdout)["totals"]
    return {
        "seconds": took,
        "bytes": told["bytes"],
        "files": sum(path.startswith("/run/") for path in told["moved"]),
        "read on the grid": totals["grid_in"],
        "stayed there": totals["grid_out"],
    }


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each side")
    arguments = parser.parse_args()
    if not Path(PROGRAM).exists():
        print(f"Left out, as there is no {PROGRAM} (Debian's apache2-bin).")
        return
    size = 2_000_000 if arguments.quick else 200_000_000
    os.environ["BEARER_TOKEN"] = TOKEN
    server = WebDavServer()
    found: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in SIDES}
    try:
        server.start()
        for _ in range(arguments.repeat):
            for side, numbers in found.items():
                for name, value in run(server, side, size, arguments.folder).items():
                    numbers[name].append(value)
    finally:
        server.close()
    ours, plain = (
        {name: median(values) for name, values in numbers.items()} for numbers in found.values()
    )
    print(f"{STEPS} jobs that pass {size:,} bytes on, median of {arguments.repeat}")
    print(f"{'':<34}{'in storage.grid':>18}{'plain':>18}{'ratio':>10}")
    for name, words in (
        ("bytes", "bytes through the submit host"),
        ("seconds", "seconds of the whole run"),
        ("read on the grid", "bytes that workers have read there"),
        ("stayed there", "bytes that stayed there"),
    ):
        ratio = f"{ours[name] / plain[name]:.4f}" if plain[name] else ""
        digits = 1 if name == "seconds" else 0
        print(f"{words:<34}{ours[name]:>18,.{digits}f}{plain[name]:>18,.{digits}f}{ratio:>10}")
    print(f"files of the chain through the submit host: {ours['files']:.0f}, ", end="")
    print(f"goal 0: {verdict(not ours['files'])}")


if __name__ == "__main__":
    main()
