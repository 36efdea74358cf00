"""Workers whose clock is hours off."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import Scene

from .outage_bench import scene

__all__ = ["scene"]

pytestmark = pytest.mark.workflow


OTHER_CLOCK = """
import os, time

def ahead(clock, a_second):
    return lambda: clock() + HOURS * 3600 * a_second

time.time, time.time_ns = ahead(time.time, 1), ahead(time.time_ns, 10**9)
utime = os.utime

def touch(path, times=None, *, ns=None, **more):
    if times is None and ns is None:  # otherwise the kernel uses its own clock
        ns = (time.time_ns(), time.time_ns())
    utime(path, **({"ns": ns} if ns is not None else {"times": times}), **more)

os.utime = touch
"""


@dataclass(frozen=True)
class Clock:
    """A clock that is wrong.

    Attributes:
        hours: How far the clock is ahead.
        options: Options that give this clock to the workers.
        setup: Shell text that gives it to Python.
    """

    hours: int
    options: tuple[str, ...]
    setup: str


@pytest.fixture(params=[-7, 7], ids=["behind", "ahead"])
def hours(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(
    params=[
        pytest.param("always", id="decided"),
        pytest.param("never", id="snakemake", marks=pytest.mark.slow),
    ]
)
def clock(request: pytest.FixtureRequest, hours: int, tmp_path: Path) -> Clock:
    """Return the clock of another machine, which the worker and the inner Snakemake use.

    Only Python uses it: under faketime 0.9.10 neither its sleep() nor its stat() work.
    """
    code = tmp_path / "clock"
    code.mkdir()
    (code / "sitecustomize.py").write_text(f"HOURS = {hours}\n{OTHER_CLOCK}")
    setup = f"export PYTHONPATH={code}"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    # With -S or -I, Python would not import it.
    own = 'for word; do shift; case $word in -S|-I) ;; *) set -- "$@" "$word" ;; esac; done'
    python.write_text(f'#!/bin/sh\n{setup}\n{own}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    options = ("--grid-local-python", str(python), "--grid-decide", request.param)
    if request.param == "never":  # whose Python does not inherit the variables of the worker
        options += ("--grid-runtime-setup", setup)
    return Clock(hours, options, setup)


@pytest.mark.parametrize(
    "large_file",
    [
        pytest.param([], id="tarball"),
        pytest.param(["--grid-large-file", "1"], id="alone", marks=pytest.mark.slow),
    ],
)
def test_clock_of_the_worker_is_hours_off(
    scene: Scene, clock: Clock, large_file: list[str]
) -> None:
    project = scene.project
    # Files of a payload have the time of its machine.
    ago = f"touch -d '{clock.hours} hours'"
    project.put("in.txt", "in\n")
    project.put(
        "Snakefile",
        f"""
rule all:
    input: "last.txt", "folder"
rule first:
    input: "in.txt"
    output: "first.txt", directory("folder")
    shell: "{scene.note("first")}; {clock.setup};"
        "python -c 'import time; print(int(time.time()))' >{{output[0]}};"
        "mkdir {{output[1]}}; cp {{input}} {{output[1]}}/x; {ago} {{output[0]}} {{output[1]}}/x"
rule last:
    input: "first.txt", "folder", "in.txt"
    output: "last.txt"
    shell: "{scene.note("last")}; cat {{input[0]}} {{input[1]}}/x >{{output}}; {ago} {{output}}"
""",
    )
    options = (*clock.options, *large_file)
    began = time.time()
    project.run(*options).succeeded()
    told = int(project.read("first.txt"))
    assert told - began == pytest.approx(clock.hours * 3600, abs=120), "the clock was right"
    assert project.read("last.txt") == f"{told}\nin\n"
    names = ("in.txt", "folder/x", "first.txt", "last.txt")
    times = [(project.folder / name).stat().st_mtime for name in names]
    assert times == sorted(times)
    assert times[0] >= began - 5
    assert times[-1] <= time.time()
    # Snakemake runs nothing again until an input changes.
    again = project.run(*options).succeeded()
    assert "Nothing to be done" in again.output
    project.put("in.txt", "new\n")
    project.run(*options).succeeded()
    assert project.read("last.txt").endswith("new\n")
    assert scene.notes() == {"first": 2, "last": 2}
