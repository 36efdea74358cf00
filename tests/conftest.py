"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


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


class Project:
    """A directory with a workflow, and the command line to run it."""

    def __init__(self, folder: Path, site: Path) -> None:
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
            *("--grid-local-isolation", "require", "--grid-local-dir", str(self.site)),
            *("--latency-wait", "2", "--nocolor"),
            *args,
        ]

    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
        return kept | self.environment

    def run(self, *args: str, timeout: float = 120, cwd: Path | None = None) -> Finished:
        """Run Snakemake to its end, with jobs that cannot see this directory."""
        process = subprocess.run(
            self.command(*args),
            cwd=cwd or self.folder,
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
            preexec_fn=_heed_interrupts,
        )


def _heed_interrupts() -> None:
    # What a shell starts in the background ignores them, and hands that on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


MakeProject = Callable[[str], Project]


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[MakeProject]:
    """Return a function that makes a project in a folder of its own."""
    projects: list[Project] = []

    def make(name: str) -> Project:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        project = Project(folder, tmp_path / "site")
        projects.append(project)
        return project

    yield make
    for process in processes_below(tmp_path):
        os.kill(process, 9)


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Return a project in an empty directory."""
    return make_project("project")


def processes_below(folder: Path) -> list[int]:
    """Return the processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(int(entry.name))
    return found
