"""Bytes stored for one large input that many jobs need, over its unique bytes.

One input of 200 MB, 50 jobs that read it, four at a time, so that they are submitted in many
batches. Files travel through a store of its own, --grid-store file://…. Two counts, one each from
a side that cannot hide anything:

- `in the store`: the sizes of all files below the store's folder when Snakemake has ended. Inputs
  stay there; tarballs with outputs are removed when they have been taken in.
- `written`: the bytes that the Snakemake process has written in any way, as the kernel counts them
  (`wchar` in /proc/self/io at its end). It holds what was written twice under one name, and all
  logs and records, Snakemake's and ours. Workers are other processes. Jobs are selected by
  `--scheduler greedy`: the kernel counts the files of the default scheduler's solver as well, which
  are many MB and have nothing to do with inputs.

Unique bytes are those of the input and of the Snakefile, each once. A shared tarball per job, as
most executors have it, would store the input once per job.
"""

from __future__ import annotations

import os
from pathlib import Path

from workflows import grid, options, project, snakemake, verdict

GOAL = 1.02
MB = 10**6
SNAKEFILE = """
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule look:
    input: "large.bin"
    output: "out/{{n}}.txt"
    shell: "tail -c 16 {{input}} | od -An -tx1 > {{output}}"
"""
# Runs Snakemake, and leaves the kernel's count behind.
PROGRAM = """
import atexit, pathlib, sys
from snakemake.cli import main
def leave(path=pathlib.Path(sys.argv.pop(1))):
    path.write_text(pathlib.Path("/proc/self/io").read_text())
atexit.register(leave)
main()
"""


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--size-mb", type=int, default=200, help="size of the input, MB")
    parser.add_argument("--jobs", type=int, default=50, help="how many")
    arguments = parser.parse_args()
    size = (20 if arguments.quick else arguments.size_mb) * MB
    count = 8 if arguments.quick else arguments.jobs
    with project(arguments.folder, SNAKEFILE.format(count=count)) as folder:
        make_input(folder / "large.bin", size)
        unique = size + (folder / "Snakefile").stat().st_size
        store, counters = folder.parent / "store", folder.parent / "io"
        program = ("-c", PROGRAM, str(counters))
        args = [*grid(folder), "--grid-store", store.as_uri(), "--jobs", "4"]
        args += ["--scheduler", "greedy"]
        took = snakemake(folder, *args, program=program)
        assert len({path.read_text() for path in (folder / "out").iterdir()}) == 1
        assert len(list((folder / "out").iterdir())) == count
        blobs = [path.stat().st_size for path in store.rglob("*") if path.is_file()]
        written = dict(line.split(": ") for line in counters.read_text().splitlines())["wchar"]
    print(f"{count} jobs with one input of {size / MB:.0f} MB; {took:.0f} s, {len(blobs)} blobs")
    print(f"{'':<18}{'bytes':>14}{'unique':>14}{'ratio':>8}{'goal':>8}")
    for label, found in (("in the store", sum(blobs)), ("written", int(written))):
        ratio = found / unique
        numbers = f"{found:>14,}{unique:>14,}{ratio:>8.3f}{GOAL:>8.2f}"
        print(f"{label:<18}{numbers}  {verdict(ratio <= GOAL)}")


def make_input(path: Path, size: int) -> None:
    """Write random bytes."""
    with path.open("wb") as out:
        for _ in range(size // MB):
            out.write(os.urandom(MB))


if __name__ == "__main__":
    main()
