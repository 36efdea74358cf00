"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.command import SNAKEMAKE, Process

# What a shell starts in the background ignores Ctrl-C, and hands that on to what tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ONE_TRY = ("--grid-infrastructure-retries", "0")
"""For jobs that the worker gives back on purpose: each of the tries takes long on a server."""


@dataclass
class Finished:
    """A Snakemake run that has ended."""

    code: int
    output: str

    def succeeded(self) -> Finished:
        assert self.code == 0, self.output
        assert "Traceback" not in self.output, self.output
        return self

    def failed(self) -> Finished:
        assert self.code != 0, self.output
        assert "Traceback" not in self.output, self.output
        return self


@dataclass(frozen=True)
class Site:
    """Where the jobs of a project run.

    Attributes:
        backend: Its name, which messages begin with.
        name: Of the site itself, as jobs report it.
        folder: What the site writes is below it.
        options: With which Snakemake sends jobs there.
        environment: Variables that Snakemake has for that.
    """

    backend: str
    name: str
    folder: Path
    options: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def without(self, option: str) -> Site:
        """Return the site without an option and its value."""
        place = self.options.index(option)
        return replace(self, options=self.options[:place] + self.options[place + 2 :])


def local_site(folder: Path) -> Site:
    """Return the site of the local backend, where jobs cannot see a project's directory."""
    options = ("--grid-local-isolation", "require", "--grid-local-dir", str(folder))
    return Site("local", "local", folder, options)


class Project:
    """A directory with a workflow, and the command line to run it."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.folder = folder
        self.site = site
        self.environment: dict[str, str] = {}
        self._processes: list[Process] = []

    def write(self, **files: str) -> None:
        """Write files: ``__`` in a name stands for a slash, ``_`` before the end for a dot."""
        for name, text in files.items():
            self.put(name.replace("__", "/"), text)

    def put(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def command(self, *args: str) -> list[str]:
        return [
            *SNAKEMAKE,
            *("--executor", "grid", "--jobs", "4"),
            *self.site.options,
            *("--latency-wait", "2", "--nocolor"),
            *args,
        ]

    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        return kept | dict(self.site.environment) | self.environment

    def run(self, *args: str, timeout: float = 240, cwd: Path | None = None) -> Finished:
        """Run Snakemake to its end."""
        return finish(self._start(self.command(*args), cwd or self.folder), timeout)

    def grid(self, *args: str) -> Finished:
        """Run ``snakemake-grid`` to its end."""
        program = "from snakemake_executor_plugin_grid.cli import main; main()"
        return finish(self._start([sys.executable, "-c", program, *args], self.folder), 60)

    def start(self, *args: str, **environment: str) -> Process:
        """Start Snakemake, with more variables in its environment."""
        return self._start(self.command(*args), self.folder, environment)

    def _start(
        self, command: list[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        process = Process(command, folder, self.env() | dict(environment or {}))
        self._processes.append(process)
        return process

    def end(self) -> None:
        """Kill the commands that still run."""
        for process in self._processes:
            process.kill()


def finish(process: Process, seconds: float = 120) -> Finished:
    """Wait for the end of a command."""
    return Finished(process.wait(seconds), process.output)


MakeProject = Callable[[str], Project]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return where jobs run; `tests/dirac` has another."""
    return local_site(tmp_path / "site")


@pytest.fixture
def make_project(tmp_path: Path, site: Site) -> Iterator[MakeProject]:
    """Return a function that makes a project in a folder of its own."""

    made = []

    def make(name: str) -> Project:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        made.append(Project(folder, site))
        return made[-1]

    yield make
    for project in made:
        project.end()
    for process in processes_below(tmp_path):
        os.kill(process, 9)


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Return a project in an empty directory."""
    return make_project("project")


def processes_below(folder: Path, sign: str = "", *, by_environment: bool = False) -> list[int]:
    """Return the processes whose command line names a folder, and has a sign in it.

    Args:
        folder: The folder.
        sign: Any text.
        by_environment: Whether the folder may stand in their environment as well.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            text = line + (entry / "environ").read_bytes() if by_environment else line
        except OSError:
            continue
        if os.fsencode(folder) in text and sign.encode() in line:
            found.append(int(entry.name))
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were tried more than once, and say how they failed.

    The names are also written to ``GRID_TEST_REPEATED``. A test that is named twice is a fault to
    be mended.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the main process tells of its tests, too
    reports = terminalreporter.stats.get("rerun", [])
    for report in reports:
        terminalreporter.section(f"first try of {report.nodeid}", yellow=True)
        terminalreporter.write_line(report.longreprtext)
    names = [report.nodeid for report in reports]
    for name in names:
        terminalreporter.write_line(f"repeated: {name}", yellow=True)
    if names and (file := os.environ.get("GRID_TEST_REPEATED")):
        with Path(file).open("a") as stream:
            stream.writelines(f"{name}\n" for name in names)
