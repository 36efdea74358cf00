"""Packing and unpacking against GNU tar with sha256sum, both with a warm page cache.

Prints how many times GNU tar's speed ours is, and the peak memory of a process of ours.
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

from snakemake_executor_plugin_grid.worker import tarball

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
    """Our side of packing."""
    return tarball.pack(tarball.scan(tree, "work"), archive).digest


def pack_gnu(tree: Path, archive: Path) -> str:
    """GNU tar's side of packing."""
    subprocess.run(["tar", "-cf", archive, "-C", tree, "."], check=True)
    return sha256sum(archive)


def unpack_ours(archive: Path, target: Path, digest: str) -> None:
    """Our side of unpacking."""
    tarball.unpack(archive, {"work": target}, digest=digest)


def unpack_gnu(archive: Path, target: Path, digest: str) -> None:
    """GNU tar's side of unpacking."""
    assert sha256sum(archive) == digest
    target.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", target], check=True)


def sha256sum(path: Path) -> str:
    """The digest as the program tells it."""
    found = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    return found.stdout.split()[0]


def timed(work: Callable[[], object], written: Path) -> float:
    """Seconds for ``work``; what it wrote is removed, and the disk left quiet, outside of them."""
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
        print(f"{label:<8}{step:<8}{seconds}{theirs / mine:>8.2f}{peak:>9.0f} MB", flush=True)
    packed.unlink()


def peak_memory(step: str, tree: Path, packed: Path, scratch: Path, digest: str) -> float:
    """Peak resident megabytes of a process that does our side of one step."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=2000, help="size of the large files, MiB")
    parser.add_argument("--small", type=int, default=20000, help="number of small files")
    parser.add_argument("--repeat", type=int, default=3, help="times; the median counts")
    parser.add_argument("--folder", type=Path, help="where to work, on disk")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scratch = Path(folder)
        print(f"{'':<16}{'ours':>11}{'tar':>11}{'ratio':>8}{'peak':>12}")
        make_large(scratch / "large", options.size_mb)
        compare("large", scratch / "large", scratch, options.repeat)
        shutil.rmtree(scratch / "large")
        make_small(scratch / "small", options.small)
        compare("small", scratch / "small", scratch, options.repeat)


if __name__ == "__main__":
    main()
