"""What the benchmarks share: small workflows, Snakemake runs, and tables with goals."""

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

TRIVIAL = """
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule trivial:
    output: "out/{{n}}.txt"
    shell: "echo {{wildcards.n}} > {{output}}"
"""


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it works")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    return parser


@contextmanager
def project(parent: Path | None, snakefile: str) -> Iterator[Path]:
    """Make a directory with a workflow, beside which there is room; remove all in the end."""
    with TemporaryDirectory(dir=parent, prefix="grid-bench-") as scratch:
        folder = Path(scratch) / "project"
        folder.mkdir()
        (folder / "Snakefile").write_text(snakefile)
        yield folder


def snakemake(folder: Path, *args: str, program: Sequence[str] = ("-m", "snakemake")) -> float:
    """Run Snakemake to its end.

    Args:
        folder: Working directory.
        args: Of Snakemake.
        program: What Python runs.

    Returns:
        Seconds that it took.

    Raises:
        SystemExit: It failed; shows the end of its output.
    """
    # Nothing of the user's own profiles and variables.
    env = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    start = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, *program, "--nocolor", "--workflow-profile", "none", *args],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    took = time.perf_counter() - start
    if ran.returncode:
        sys.exit(f"Snakemake failed ({ran.returncode}), its last words:\n{ran.stdout[-3000:]}")
    return took


def grid(folder: Path) -> list[str]:
    """Return the options for a local site beside a working directory."""
    return ["--executor", "grid", "--grid-local-dir", str(folder.parent / "site")]


def verdict(met: bool) -> str:
    """Return the word for the last column of a table."""
    return "met" if met else "MISSED"
