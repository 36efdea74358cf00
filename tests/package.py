"""Builds the package, installs the wheel in a fresh environment, and works with it there.

    python -m tests.package

Everything happens in a temporary folder, away from the checkout. The workflow has a job that the
worker program does by itself, and one for which it starts Snakemake. The logger plugin snkmt
follows them. The Python that runs this needs `build`, `hatchling`
and `twine`.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "snakemake_executor_plugin_grid"
STORAGE = "snakemake_storage_plugin_grid"
LOGGER = "snakemake-logger-plugin-snkmt>=0.1.9"
_LIMIT = 240
"""Seconds that a command may take."""
_SNAKEFILE = """
rule all:
    input: "count.txt"

rule words:
    output: "words.txt"
    params: words=["one", "two", "three"]
    script: "words.py"

rule count:
    input: "words.txt"
    output: "count.txt"
    run:
        with open(input[0]) as words, open(output[0], "w") as out:
            print(len(words.read().split()), file=out)
"""
_SCRIPT = """
with open(snakemake.output[0], "w") as out:
    print(*snakemake.params.words, file=out)
"""


class PackageError(Exception):
    """Something about the package is wrong."""


def main() -> int:
    """Check the package; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        folder = Path(name)
        try:
            wheel = build(folder / "dist")
            if lacking := [*missing(wheel, ROOT / PACKAGE), *missing(wheel, ROOT / STORAGE)]:
                raise PackageError(f"{wheel.name} lacks {', '.join(lacking)}")
            environment = Environment(folder / "venv", folder / "home")
            environment.install(wheel)
            work(environment, folder / "work", wheel.name.split("-")[1])
        except PackageError as error:
            print(f"tests.package: {error}", file=sys.stderr)
            return 1
    return 0


def build(folder: Path) -> Path:
    """Build the source distribution and, from that, the wheel; return the wheel."""
    tool = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    run([*tool, str(ROOT)], ROOT)
    made = sorted(map(str, folder.iterdir()))
    run([sys.executable, "-m", "twine", "--no-color", "check", "--strict", *made], ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def missing(wheel: Path, package: Path) -> list[str]:
    """Return the files of a package that a wheel does not have.

    Args:
        wheel: The wheel.
        package: The folder of the package.
    """
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    files = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(files - there)


class Environment:
    """A fresh virtual environment. Its commands know nothing of the checkout."""

    def __init__(self, folder: Path, home: Path) -> None:
        """Make it.

        Args:
            folder: Where.
            home: The home of the user who works with it.
        """
        venv.create(folder, with_pip=True)
        temporary = home / "tmp"  # the jobs of the workflow run there
        temporary.mkdir(parents=True)
        self._folder = folder
        self._variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "SNAKEMAKE", "VIRTUAL_ENV", "XDG_"))
        } | {
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }

    def install(self, wheel: Path) -> None:
        """Install the wheel, with what its report page needs, and the logger plugin."""
        # The configuration of pip may be in the home of the user: that one is kept here.
        pip = [str(self._folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        options = ("--quiet", "--no-compile")  # it compiles more than is used
        run([*pip, "install", *options, f"{wheel}[report]", LOGGER], wheel.parent)
        run([*pip, "check"], wheel.parent)

    def run(self, folder: Path, *command: str) -> str:
        """Run one of its commands in a folder; return what it prints."""
        program = self._folder / "bin" / command[0]
        return run([str(program), *command[1:]], folder, self._variables)


def work(environment: Environment, folder: Path, version: str) -> None:
    """Run a workflow of two jobs in an empty folder, and each command about it.

    Args:
        environment: Where the package is installed.
        folder: The folder, which is made.
        version: Of the package.
    """
    folder.mkdir()
    (folder / "Snakefile").write_text(_SNAKEFILE)
    (folder / "words.py").write_text(_SCRIPT)
    script = f"import {PACKAGE}; print({PACKAGE}.__file__)"
    expect(str(folder.parent), environment.run(folder, "python", "-c", script))
    expect(f"version {version}", environment.run(folder, "snakemake-grid", "--version"))
    expect("--storage-grid-storage-element", environment.run(folder, "snakemake", "--help"))
    environment.run(folder, "snakemake-grid", "check")
    database = folder.with_name("snkmt.db")
    logger = ("--logger", "snkmt", "--logger-snkmt-db", str(database))
    said = environment.run(folder, "snakemake", "--executor", "grid", "--jobs", "2", *logger)
    expect("2 of 2 jobs succeeded", said)
    expect("rule count needs Snakemake on the worker", said)
    expect("3\n", (folder / "count.txt").read_text())
    followed(database)
    for command in ("status", "logs", "describe"):
        expect("words", environment.run(folder, "snakemake-grid", command, *words(command)))
    environment.run(folder, "snakemake-grid", "report")
    expect("</html>", (folder / "grid-report.html").read_text())


def words(command: str) -> tuple[str, ...]:
    """Return the further arguments of a command of snakemake-grid."""
    return ("--all",) if command == "status" else ("words",)


def followed(database: Path) -> None:
    """Check that the logger plugin has seen the end of all jobs: none is pending there."""
    with closing(sqlite3.connect(database)) as connection:
        states = connection.execute("SELECT status FROM jobs").fetchall()
        ((planned, finished),) = connection.execute(
            "SELECT total_job_count, jobs_finished FROM workflows"
        )
    if states != [("SUCCESS",)] * 3 or (planned, finished) != (3, 3):
        raise PackageError(f"snkmt has {states}, {finished} of {planned} jobs finished")


def expect(text: str, said: str) -> None:
    """Check that a text is there.

    Raises:
        PackageError: It is not.
    """
    if text not in said:
        raise PackageError(f"{text!r} is not in:\n{said}")


def run(command: Sequence[str], folder: Path, variables: dict[str, str] | None = None) -> str:
    """Run a command; return what it prints.

    Raises:
        PackageError: It fails, or prints a traceback.
    """
    line = " ".join(command)
    began = time.monotonic()
    ended = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    if ended.returncode or "Traceback" in ended.stdout:
        raise PackageError(f"{line} ended with {ended.returncode}:\n{ended.stdout}")
    print(f"{time.monotonic() - began:5.1f} s  {line}", flush=True)
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
