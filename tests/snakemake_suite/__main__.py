"""Runs the workflows of Snakemake's own test suite through the grid executor.

    python -m tests.snakemake_suite --way never auto --processes 2

Takes the suite from the source distribution of the installed Snakemake, runs its workflows with the
local executor, and those that pass there through the local backend of this plugin, decided on the
submit host or not. Each test compares the results of its workflow with what the suite expects.

Exit status 0 if at least ``--threshold`` workflows pass each way, and every other is in `KNOWN`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_grid

from .known import KNOWN
from .plugin import through_grid

THRESHOLD = 272
PER_TEST = 300
"""Seconds that a test may take."""
_WAYS = ("never", "auto", "always")


@dataclass(frozen=True)
class Result:
    """How a test ended.

    Attributes:
        name: Of the test.
        outcome: passed, failed or skipped.
        reason: The first line of the error.
        seconds: How long it took.
        executed: How many workflows it ran.
        on_grid: How many jobs of them ran through the grid executor.
    """

    name: str
    outcome: str
    reason: str
    seconds: float
    executed: int = 0
    on_grid: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; return the exit status."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True) as name:
        folder = (chosen.dir or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        source = _source(folder)
        tests = _passing_locally(source, folder, chosen)
        print(f"{len(tests)} tests of Snakemake {version('snakemake')} run workflows and pass")
        fine = True
        for way in _possible(chosen.way):
            results = _run(source, folder / f"{way}.jsonl", way, tests, chosen.processes)
            fine &= _report(way, results, tests, chosen.threshold)
    return 0 if fine else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.snakemake_suite", description=__doc__)
    parser.add_argument("--way", nargs="+", choices=_WAYS, default=["never", "auto"])
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="tests at a time")
    parser.add_argument("--only", default="", metavar="EXPRESSION", help="as -k of pytest")
    parser.add_argument("--threshold", type=int, default=THRESHOLD, metavar="N")
    parser.add_argument(
        "--dir", type=Path, help="folder that keeps the suite and the results of the local executor"
    )
    return parser


def _possible(ways: Sequence[str]) -> list[str]:
    """Return the ways that the installed plugin knows."""
    if through_grid.knows_decide():
        return list(ways)
    print("The installed plugin has no --grid-decide: jobs are not decided.")
    return ["never"]


def _source(folder: Path) -> Path:
    """Download the source distribution of the installed Snakemake; return its unpacked folder."""
    source = folder / f"snakemake-{version('snakemake')}"
    if not source.exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
        options = ["--no-binary", "snakemake", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, *options, f"snakemake=={version('snakemake')}"], check=True)
        with tarfile.open(f"{source}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return source


def _passing_locally(source: Path, folder: Path, chosen: argparse.Namespace) -> list[str]:
    """Return the tests that run a workflow and pass with the local executor."""
    file = folder / "local.jsonl"
    if chosen.only or not file.exists():
        only = ["-k", chosen.only] if chosen.only else []
        file = folder / "chosen.jsonl" if chosen.only else file
        results = _run(source, file, "local", only, chosen.processes)
    else:
        results = _read(file)
    return [one.name for one in results if one.outcome == "passed" and one.executed]


def _run(
    source: Path, file: Path, way: str, tests: Sequence[str], processes: int
) -> list[Result]:
    """Run tests of the suite.

    Args:
        source: The unpacked source distribution.
        file: For the results.
        way: ``local``, or how jobs are decided.
        tests: Names, or ``-k`` and an expression, or nothing for all tests.
        processes: How many run at a time.
    """
    file.unlink(missing_ok=True)
    named = tests and not tests[0].startswith("-")
    where = [f"tests/tests.py::{name}" for name in tests] if named else ["tests/tests.py", *tests]
    package = str(Path(snakemake_executor_plugin_grid.__file__).parents[1])
    plugin = Path(through_grid.__file__)
    options = ["-q", "--no-header", "--tb=short", "-o", "addopts=", "-o", f"timeout={PER_TEST}"]
    options += ["-p", "no:cacheprovider", "-p", plugin.stem, "-n", str(processes)]
    environment = os.environ | {
        through_grid.WAY: way,
        through_grid.RESULTS: str(file),
        through_grid._PACKAGES: package,
        "PYTHONPATH": os.pathsep.join([str(plugin.parent), package]),
    }
    with (file.with_suffix(".log")).open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, *where],
            cwd=source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return _read(file)


def _read(file: Path) -> list[Result]:
    lines = file.read_text().splitlines() if file.exists() else []
    values: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [Result(**one) for one in values]


def _report(
    way: str, results: Sequence[Result], tests: Sequence[str], threshold: int
) -> bool:
    """Print how the tests ended; return whether that is as good as it has to be."""
    passed = {one.name for one in results if one.outcome == "passed"}
    reasons = {one.name: one.reason for one in results}
    jobs = sum(one.on_grid for one in results)
    seconds = sum(one.seconds for one in results)
    unknown = []
    print(f"\n--grid-decide {way}: {len(passed)} of {len(tests)} passed; {jobs} jobs; {seconds:.0f} s")
    for name in sorted(set(tests) - passed):
        words = (reasons.get(name) or "it has not ended").splitlines()[0][:200]
        known = KNOWN.get(name)
        print(f"  {'known ' if known else 'FAILED'} {name}: {known or words}")
        if not known:
            unknown.append(name)
    needed = min(threshold, len(tests))
    if len(passed) < needed:
        print(f"  FAILED: at least {needed} have to pass")
    return not unknown and len(passed) >= needed


if __name__ == "__main__":
    sys.exit(main())
