"""Speed of packing and unpacking, against GNU tar with sha256sum.

Two trees: one with 2 GB in four files, one with 20,000 files of up to 8 KiB. Each side packs the
tree and computes the SHA-256 of the tarball, then checks the SHA-256 and unpacks. Ours does both in
one pass and one process, with Python's `tarfile`; theirs runs `tar` and `sha256sum` one after the
other. The page cache is warm for both, and the disk is synchronised before each step.

The sides take turns; medians are compared. `ratio` is our speed as a multiple of GNU tar's, `peak`
the largest resident memory of a process that does only one step of ours. `tarfile` is slow with
small files, but a whole job spends little of its time in it: see README.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workflows import options, verdict

from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack

GOAL = 0.6
GOAL_MB = 200
MIB = 1 << 20
LARGE_FILES = 4


def make_large(folder: Path, megabytes: int) -> None:
    """A few large files, ``megabytes`` MiB together."""
    folder.mkdir()
    block = os.urandom(MIB)
    for number in range(LARGE_FILES):
        with (folder / f"large{number}.bin").open("wb") as out:
            for _ in range(megabytes // LARGE_FILES):
                out.write(block)


def make_small(folder: Path, count: int) -> None:
    """``count`` files of up to 8 KiB, a hundred to a folder."""
    for number in range(count):
        where = folder / f"part{number // 100:04}"
        where.mkdir(parents=True, exist_ok=True)
        (where / f"sample{number:06}.txt").write_bytes(os.urandom(number * 37 % 8192))


def pack_ours(tree: Path, archive: Path) -> str:
    """Pack with this package."""
    return pack(scan(tree, "work"), archive).digest


def pack_gnu(tree: Path, archive: Path) -> str:
    """Pack with GNU tar."""
    subprocess.run(["tar", "-cf", archive, "-C", tree, "."], check=True)
    return sha256sum(archive)


def unpack_ours(archive: Path, target: Path, digest: str) -> None:
    """Unpack with this package."""
    unpack(archive, {"work": target}, digest=digest)


def unpack_gnu(archive: Path, target: Path, digest: str) -> None:
    """Unpack with GNU tar."""
    assert sha256sum(archive) == digest
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)


def sha256sum(path: Path) -> str:
    """Return the SHA-256 of a file, computed by the program."""
    found = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    return found.stdout.split()[0]


def timed(work: Callable[[], object], written: Path) -> float:
    """Return the seconds of ``work`` alone; then remove what it wrote."""
    os.sync()
    start = time.perf_counter()
    work()
    took = time.perf_counter() - start
    if written.is_dir():
        shutil.rmtree(written)
    else:
        written.unlink()
    return took


def compare(label: str, tree: Path, scratch: Path, repeat: int) -> None:
    """Time both sides in turn, and print a line for packing and one for unpacking."""
    packed, out = scratch / "packed.tar", scratch / "out"
    pack_ours(tree, packed)
    digest = sha256sum(packed)
    new = scratch / "new.tar"
    sides: dict[str, tuple[Path, Callable[[], object], Callable[[], object]]] = {
        "pack": (new, lambda: pack_ours(tree, new), lambda: pack_gnu(tree, new)),
        "unpack": (
            out,
            lambda: unpack_ours(packed, out, digest),
            lambda: unpack_gnu(packed, out, digest),
        ),
    }
    for step, (written, ours, gnu) in sides.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeat):
            times[0].append(timed(ours, written))
            times[1].append(timed(gnu, written))
        mine, theirs = median(times[0]), median(times[1])
        peak = peak_memory(step, tree, packed, scratch, digest)
        seconds = f"{mine:>9.2f} s{theirs:>9.2f} s"
        ratio = theirs / mine
        goals = f"{ratio:>8.2f}{GOAL:>8.2f}  {verdict(ratio >= GOAL):<6}"
        memory = f"{peak:>6.0f} MB{GOAL_MB:>6} MB  {verdict(peak < GOAL_MB)}"
        print(f"{label:<8}{step:<8}{seconds}{goals}{memory}", flush=True)
    packed.unlink()


def peak_memory(step: str, tree: Path, packed: Path, scratch: Path, digest: str) -> float:
    """Return the peak resident megabytes of a process that does one step of ours."""
    out = scratch / "child"
    arguments = [tree, out] if step == "pack" else [packed, out, digest]
    command = [sys.executable, __file__, "--child", step, *map(str, arguments)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    return int(found.stdout) / 1024


def child(step: str, first: str, second: str, *rest: str) -> None:
    """Do one step and print the peak memory in KiB."""
    if step == "pack":
        pack_ours(Path(first), Path(second))
    else:
        unpack_ours(Path(first), Path(second), *rest)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--size-mb", type=int, default=2000, help="size of the large files, MiB")
    parser.add_argument("--small", type=int, default=20000, help="number of small files")
    parser.add_argument("--repeat", type=int, default=3, help="times; the median counts")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    if arguments.quick:
        arguments.size_mb, arguments.small, arguments.repeat = 200, 2000, 1
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        scratch = Path(folder)
        head = f"{'':<16}{'ours':>11}{'tar':>11}{'ratio':>8}{'goal':>8}"
        print(f"{head}{'':<8}{'peak':>9}{'goal':>9}")
        make_large(scratch / "large", arguments.size_mb)
        compare("large", scratch / "large", scratch, arguments.repeat)
        shutil.rmtree(scratch / "large")
        make_small(scratch / "small", arguments.small)
        compare("small", scratch / "small", scratch, arguments.repeat)


if __name__ == "__main__":
    main()
