"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

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
class LocalServer:
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


def local_site(folder: Path) -> LocalServer:
    """Return the site of the local backend, where jobs cannot see a project's directory."""
    options = ("--grid-local-isolation", "require", "--grid-local-dir", str(folder))
    return LocalServer("local", "local", folder, options)


class Project:
    """A directory with a workflow, and the command line to run it."""

    def __init__(self, folder: Path, site: LocalServer) -> None:
        self.folder = folder
        self.site = site
        self.environment: dict[str, str] = {}

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
            *(sys.executable, "-m", "snakemake", "--executor", "grid", "--jobs", "4"),
            *self.site.options,
            *("--latency-wait", "2", "--nocolor"),
            *args,
        ]

    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        return kept | dict(self.site.environment) | self.environment

    def run(self, *args: str, timeout: float = 240, cwd: Path | None = None) -> Finished:
        """Run Snakemake to its end."""
        return self._run(self.command(*args), timeout, cwd or self.folder)

    def grid(self, *args: str) -> Finished:
        """Run ``snakemake-grid`` to its end."""
        program = "from snakemake_executor_plugin_grid.cli import main; main()"
        return self._run([sys.executable, "-c", program, *args], 60, self.folder)

    def _run(self, command: list[str], timeout: float, cwd: Path) -> Finished:
        process = subprocess.run(
            command,
            cwd=cwd,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return Finished(process.returncode, process.stdout)

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start Snakemake and return its process, as leader of a session."""
        return subprocess.Popen(
            self.command(*args),
            cwd=self.folder,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )


def heed_interrupts() -> None:
    """Let a process that is about to begin end by Ctrl-C, which those in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


MakeProject = Callable[[str], Project]


@pytest.fixture
def site(tmp_path: Path) -> LocalServer:
    """Return where jobs run; `tests/dirac` has another."""
    return local_site(tmp_path / "site")


@pytest.fixture
def make_project(tmp_path: Path, site: LocalServer) -> Iterator[MakeProject]:
    """Return a function that makes a project in a folder of its own."""

    def make(name: str) -> Project:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        return Project(folder, site)

    yield make
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
