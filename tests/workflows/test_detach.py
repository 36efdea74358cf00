"""Leaving a workflow and coming back to it, on purpose: nothing of Snakemake runs in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Finished, Project
from tests.faults import Scene, eventually, waiting_for

pytestmark = pytest.mark.workflow

QUICKLY = 30
"""Seconds for a call that finds nothing to do: mostly Snakemake's start, on a busy machine."""


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Scene:
    return Scene(project, tmp_path)


class Gates:
    """Files that payloads wait for, outside of every sandbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wait(self, name: str) -> str:
        """Return a shell command that ends when a gate is open."""
        return waiting_for(self._folder / f"go-{name}")

    def open(self, name: str) -> None:
        (self._folder / f"go-{name}").touch()


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def call(scene: Scene, *args: str) -> Finished:
    """Do what cron does; see that nothing goes on here when it has ended."""
    finished = scene.project.run("--grid-detach", *args)
    assert "Traceback" not in finished.output, finished.output
    here = os.fsencode(scene.project.folder)
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode((entry / "cwd").readlink()) == here:
                left.append((entry / "cmdline").read_bytes())
        except OSError:
            continue
    assert not left, finished.output
    return finished


def call_until(scene: Scene, condition: Callable[[], object], seconds: float = 90) -> Finished:
    """Call again and again until something has come about; all calls have to end well."""
    until = time.monotonic() + seconds
    while True:
        finished = call(scene).succeeded()
        if condition():
            return finished
        assert time.monotonic() < until, f"it did not come about\n{finished.output}"
        time.sleep(1)


def once(*names: str) -> dict[str, int]:
    return {f"{mark}-{name}": 1 for mark in ("begun", "ended") for name in names}


def test_a_workflow_of_three_levels_by_repeated_calls(scene: Scene, gates: Gates) -> None:
    project = scene.project
    marks = scene.note("begun-{rule}-{wildcards.n}"), scene.note("ended-{rule}-{wildcards.n}")
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "three/0.txt"
rule one:
    output: "one/{{n}}.txt"
    shell: "{marks[0]}; {gates.wait("one")}; echo {{wildcards.n}} >{{output}}; {marks[1]}"
rule two:
    input: "one/{{n}}.txt"
    output: "two/{{n}}.txt"
    shell: "{marks[0]}; {gates.wait("two")}; sed s/^/2/ {{input}} >{{output}}; {marks[1]}"
rule three:
    input: "two/1.txt", "two/2.txt"
    output: "three/{{n}}.txt"
    shell: "{marks[0]}; {gates.wait("three")}; cat {{input}} >{{output}}; {marks[1]}"
""",
    )
    first = call(scene).succeeded()
    assert "2 stay on the grid" in first.output
    eventually(lambda: scene.notes("begun") == {"begun-one-1": 1, "begun-one-2": 1})
    began = time.monotonic()
    idle = call(scene).succeeded()
    assert time.monotonic() - began < QUICKLY
    assert "0 job(s) came back in this run; 2 stay on the grid" in idle.output
    for level, following in (("one", "begun-two"), ("two", "begun-three")):
        gates.open(level)
        call_until(scene, lambda following=following: scene.notes(following))
    assert not (project.folder / "three").exists()
    gates.open("three")
    last = call_until(scene, (project.folder / "three/0.txt").exists)
    assert project.read("three/0.txt") == "21\n22\n"
    assert scene.notes() == once("one-1", "one-2", "two-1", "two-2", "three-0")
    assert "stay on the grid" not in last.output
    assert "Nothing to be done" in call(scene).succeeded().output


def test_a_failed_job_makes_its_call_fail(scene: Scene, gates: Gates, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    scene.project.put(
        "Snakefile",
        f"""
rule all:
    input: "good.txt", "bad.txt"
rule good:
    output: "good.txt"
    shell: "{scene.note("begun-good")}; {gates.wait("good")}; touch {{output}}; "
        "{scene.note("ended-good")}"
rule bad:
    output: "bad.txt"
    shell: "{scene.note("begun-bad")}; test -e {mended}; touch {{output}}; "
        "{scene.note("ended-bad")}"
""",
    )
    finished = call(scene)
    until = time.monotonic() + 60
    while finished.code == 0:
        assert time.monotonic() < until, finished.output
        time.sleep(1)
        finished = call(scene)
    assert "rule bad" in finished.failed().output
    assert "1 stay on the grid" in finished.output
    assert scene.notes() == {"begun-good": 1, "begun-bad": 1}
    mended.touch()
    gates.open("good")
    folder = scene.project.folder
    call_until(scene, lambda: (folder / "good.txt").exists() and (folder / "bad.txt").exists())
    assert scene.notes() == {"begun-good": 1, "ended-good": 1, "begun-bad": 2, "ended-bad": 1}


CHANGES = {
    "shell": ("echo old", "echo new"),
    "parameter": ('text="old"', 'text="new"'),
    "input": None,
}


@pytest.fixture(params=list(CHANGES))
def change(request: pytest.FixtureRequest) -> str:
    """Return what changes while nobody looks."""
    return str(request.param)


def test_what_has_changed_is_submitted_anew(scene: Scene, gates: Gates, change: str) -> None:
    project = scene.project
    project.put("in.txt", "old\n")
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "same.txt", "other.txt"
rule same:
    output: "same.txt"
    shell: "{scene.note("begun-same")}; {gates.wait("it")}; touch {{output}}; "
        "{scene.note("ended-same")}"
rule other:
    input: "in.txt"
    output: "other.txt"
    params: text="old"
    shell: "{scene.note("begun-other")}; {gates.wait("it")}; "
        "(echo old; echo {{params.text}}; cat {{input}}) >{{output}}; {scene.note("ended-other")}"
""",
    )
    call(scene).succeeded()
    eventually(lambda: scene.notes() == {"begun-same": 1, "begun-other": 1})
    words = CHANGES[change]
    if words:
        project.put("Snakefile", project.read("Snakefile").replace(*words))
    else:
        project.put("in.txt", "new\n")
    changed = call(scene).succeeded()
    assert "Cancelling 1 job(s)" in changed.output
    assert "Going on with 1 job(s)" in changed.output
    eventually(lambda: scene.notes() == {"begun-same": 1, "begun-other": 2})
    gates.open("it")
    folder = project.folder
    call_until(scene, lambda: (folder / "same.txt").exists() and (folder / "other.txt").exists())
    assert scene.notes() == once("same", "other") | {"begun-other": 2}
    lines = ["new" if kind == change else "old" for kind in CHANGES]
    assert project.read("other.txt").split() == lines
