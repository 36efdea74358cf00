"""Processes, files and small disks for the tests of faults."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Finished, Project, processes_below
from tests.faults import eventually


def processes(project: Project, text: str = "") -> list[int]:
    """Return the processes of a project's site and jobs whose command line contains a text."""
    return processes_below(project.site.folder, text, by_environment=True)


def assert_output(run: Finished, *words: str) -> None:
    for word in words:
        assert word in run.output, f"missing in the output: {word}\n{run.output}"


def assert_nothing_left(project: Project) -> None:
    """Assert that the local server, all its processes and its folder are gone."""
    eventually(lambda: not processes(project), 10)
    assert not list(project.site.folder.glob("*"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Return a folder that jobs see by its absolute path."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def seen(notes: Path) -> list[str]:
    return sorted(path.name for path in notes.iterdir())


def mount(folder: Path, megabytes: int) -> None:
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")


@pytest.fixture
def unmount_later() -> Iterator[list[Path]]:
    folders: list[Path] = []
    yield folders
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


TWO = """
rule all:
    input: "a.txt", "b.txt"
rule a:
    output: "a.txt"
    shell: "{a}"
rule b:
    output: "b.txt"
    shell: "touch {{output}}"
"""
