"""Runs the workflows of Snakemake's own test suite through the grid executor.

    python -m tests.snakemake_suite --way never auto --processes 2

Takes the suite from the source distribution of the installed Snakemake and runs its workflows on
the local backend of this plugin, with their jobs decided on the submit host or not. Each test
compares the results of its workflow with what the suite expects. A test that fails is run with
Snakemake's local executor as well: what fails there too is left out, such as for a program that is
not there.

Exit status 0 if at least ``--threshold`` tests pass each way, and every other is a known failure.
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
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import snakemake_executor_plugin_grid

from .known import LEFT_OUT, known_failures
from .plugin import through_grid

THRESHOLD = 272
PER_TEST = 600
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
        decided: How many of these were decided.
    """

    name: str
    outcome: str
    reason: str
    seconds: float
    executed: int = 0
    on_grid: int = 0
    decided: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; return the exit status."""
    chosen = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="suite-", ignore_cleanup_errors=True) as name:
        folder = (chosen.dir or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        source = _source(folder)
        fine = True
        for way in _possible(chosen.way):
            only = ["-k", chosen.only] if chosen.only else []
            run = partial(_run, source, processes=chosen.processes)
            results = [one for one in run(folder / f"{way}.jsonl", way, only) if one.executed]
            failed = [one.name for one in results if one.outcome == "failed"]
            local = run(folder / f"{way}-local.jsonl", "local", failed) if failed else []
            possible = {one.name for one in local if one.outcome == "passed"}
            results = [one for one in results if one.outcome == "passed" or one.name in possible]
            fine &= _report(way, results, 1 if chosen.only else chosen.threshold)
    return 0 if fine else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.snakemake_suite", description=__doc__)
    parser.add_argument("--way", nargs="+", choices=_WAYS, default=["never", "auto"])
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="tests at a time")
    parser.add_argument("--only", default="", metavar="EXPRESSION", help="as -k of pytest")
    parser.add_argument("--threshold", type=int, default=THRESHOLD, metavar="N")
    parser.add_argument("--dir", type=Path, help="folder that keeps the suite and the results")
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
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        options = ["--no-binary", "snakemake", "--no-deps", "--dest", str(folder)]
        wanted = f"snakemake=={version('snakemake')}"
        subprocess.run([*pip, "download", *options, wanted], check=True)
        with tarfile.open(f"{source}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return source


def _run(source: Path, file: Path, way: str, tests: Sequence[str], processes: int) -> list[Result]:
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
    options += ["--basetemp", str(file.with_suffix(".tmp"))]
    options += [f"--deselect=tests/tests.py::{name}" for name in LEFT_OUT]
    environment = os.environ | {
        through_grid.WAY: way,
        through_grid.RESULTS: str(file),
        through_grid.PACKAGES: package,
        "PYTHONPATH": os.pathsep.join([str(plugin.parent), package]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
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


def _report(way: str, results: Sequence[Result], threshold: int) -> bool:
    """Print how the tests ended; return whether that is as good as it has to be."""
    reasons = known_failures(way)
    failed = sorted((one for one in results if one.outcome != "passed"), key=lambda one: one.name)
    passed = len(results) - len(failed)
    jobs, seconds = sum(one.on_grid for one in results), sum(one.seconds for one in results)
    decided = sum(one.decided for one in results)
    print(
        f"--grid-decide {way}: {passed} of {len(results)} passed; {jobs} jobs, {decided} decided; "
        f"{seconds:.0f} s"
    )
    for one in failed:
        known = reasons.get(one.name)
        words = next(iter(one.reason.splitlines()), "")[:200]
        print(f"  {'known ' if known else 'FAILED'} {one.name}: {known or words}")
    if passed < threshold:
        print(f"  FAILED: at least {threshold} have to pass")
    return passed >= threshold and all(one.name in reasons for one in failed)


if __name__ == "__main__":
    sys.exit(main())
