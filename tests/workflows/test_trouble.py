"""What passes by itself is waited out: nothing fails for it, is lost, or is done twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running, Scene, eventually, local_sites, meddle, waiting_for

from .test_faults import mount, unmount

__all__ = ["unmount"]

pytestmark = pytest.mark.workflow

DOWN = "does not answer, asked for"
UP = "answers again"
WAITS = "Waiting for the disk"
ROOM = "There is room on the disk again"
RESUME = "--rerun-incomplete"
SHORT = ("--grid-outage-limit", "0.001")
"""It is in hours."""
MEGABYTE = 1 << 20

# A call to a site that does not answer takes 30 seconds, for it may just be busy.
IMPATIENT = """
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
LocalBackend._call.__kwdefaults__["wait"] = 1.5
"""


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"


@pytest.fixture
def scene(project: Project, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(project, tmp_path)
    yield made
    made.end()
    for site in local_sites(project):
        os.kill(site, signal.SIGCONT)


def begun(scene: Scene, count: int, *args: str) -> Running:
    """Begin a run, and wait until its jobs have begun."""
    run = scene.begin(*args)
    run.until(lambda: len(scene.notes("begun")) == count)
    return run


def stop_site(project: Project) -> int:
    """Let the site hang, as it does on a machine that swaps; its jobs go on."""
    (site,) = local_sites(project)
    os.kill(site, signal.SIGSTOP)
    return site


def ended_in_the_keep_way(run: Running, count: int, why: str) -> None:
    """See that a run has said why it ends, and how to go on."""
    left = run.finish(90)
    assert left.failed().code == 1, left.output
    assert re.search(rf"The run ends: .*{why}.*--grid-outage-limit", left.output), left.output
    assert f"{count} stay on the grid" in left.output
    assert "run the same command again" in left.output
    assert "cancelled" not in left.output.lower(), left.output
    assert "Error in rule" not in left.output, left.output


# The site


# The store


def held(scene: Scene, go: Path, store: Path, *args: str) -> tuple[Running, int]:
    """Begin a run whose jobs have ended well, which it does not hear before the site goes on."""
    meddle(scene.project, store.with_name("code"), IMPATIENT)
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2, "--grid-store", store.as_uri(), *args)
    site = stop_site(scene.project)
    go.touch()
    reports = scene.project.site.folder
    eventually(lambda: len(list(reports.glob("*/jobs/*/report.json"))) == 2)
    return run, site


def test_a_store_that_is_away_is_waited_for(scene: Scene, go: Path, tmp_path: Path) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    run, site = held(scene, go, store)
    store.rename(away)
    os.kill(site, signal.SIGCONT)
    run.tells("asked for outputs")
    time.sleep(6)
    assert run.process.poll() is None, run.output
    assert not store.exists()
    away.rename(store)
    finished = run.finish().succeeded()
    # Of the site, which did not answer either, before it.
    ends = re.findall(f"{DOWN}|{UP}", finished.output)
    assert ends in ([DOWN, UP], [DOWN, UP] * 2), finished.output
    assert finished.output.count("asked for outputs") == 1
    scene.outputs_are_there(2)


def test_a_store_that_is_away_past_the_limit_leaves_the_jobs(
    scene: Scene, go: Path, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    options = ("--grid-outage-limit", "0.004")
    run, site = held(scene, go, store, *options)
    store.rename(away)
    os.kill(site, signal.SIGCONT)
    run.tells("asked for outputs")
    ended_in_the_keep_way(run, 2, "has not answered for 14 s, asked for outputs")
    away.rename(store)
    again = scene.begin("--grid-store", store.as_uri(), *options).finish().succeeded()
    assert "Going on with 2 job(s)" in again.output
    scene.outputs_are_there(2)


# The disk


@pytest.fixture
def small(project: Project, unmount: list[Path]) -> Project:
    """Return a project on a disk of 12 MB."""
    mount(project.folder, 12)
    unmount.append(project.folder)
    return project


def fill(folder: Path, room: int) -> Path:
    """Leave some bytes of room on a disk; return the file that takes the rest."""
    state = os.statvfs(folder)
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room)
    return filler


def large(scene: Scene, count: int, wait: str) -> None:
    """Write a workflow whose jobs make 3 MB each that no compression makes less."""
    marks = scene.note("begun-{wildcards.n}"), scene.note("ended-{wildcards.n}")
    scene.project.put(
        "Snakefile",
        f"""
rule all:
    input: expand("out/{{n}}.bin", n=range({count}))
rule a:
    output: "out/{{n}}.bin"
    shell: "{marks[0]}; {wait}; "
        "{sys.executable} -c 'import random; r = random.Random({{wildcards.n}}); "
        "open(\\"{{output}}\\", \\"wb\\").write(r.randbytes(3000000))'; {marks[1]}"
""",
    )


def large_ones_are_there(scene: Scene, count: int) -> None:
    import random

    wanted = {f"{mark}-{n}": 1 for n in range(count) for mark in ("begun", "ended")}
    assert scene.notes() == wanted
    for n in range(count):
        output = scene.project.folder / f"out/{n}.bin"
        assert output.read_bytes() == random.Random(n).randbytes(3_000_000)  # noqa: S311


@pytest.mark.parametrize("room", [0, MEGABYTE])
def test_outputs_wait_for_room_on_the_disk(
    scene: Scene, small: Project, go: Path, room: int
) -> None:
    large(scene, 2, waiting_for(go))
    run = begun(scene, 2)
    filler = fill(small.folder, room)
    go.touch()
    run.tells(WAITS, "the disk of the submit host is full")
    time.sleep(8)
    assert run.process.poll() is None, run.output
    assert not list(small.folder.glob("out/*"))
    filler.unlink()
    finished = run.finish().succeeded()
    assert finished.output.count(WAITS) == finished.output.count(ROOM) == 1, finished.output
    assert "Error in rule" not in finished.output
    large_ones_are_there(scene, 2)
    assert "Nothing to be done" in small.run().succeeded().output


def test_small_outputs_come_while_a_large_one_waits_for_room(
    scene: Scene, small: Project, go: Path, tmp_path: Path
) -> None:
    large(scene, 1, waiting_for(go))
    text = small.read("Snakefile").replace('.bin"', '.bin", n=[0]), expand("{n}.txt"', 1)
    gate = waiting_for(tmp_path / "go-{wildcards.n}")
    more = f"""
rule small:
    output: "{{n}}.txt"
    shell: "{gate}; touch {{output}}"
"""
    small.put("Snakefile", text.replace("n=range(1)", "n=[1, 2, 3]") + more)
    run = begun(scene, 1, "--grid-local-cores", "4")
    filler = fill(small.folder, MEGABYTE)
    go.touch()
    run.tells(WAITS)
    for n in (1, 2, 3):
        (tmp_path / f"go-{n}").touch()
        run.until((small.folder / f"{n}.txt").exists)
    time.sleep(6)
    assert ROOM not in run.output
    filler.unlink()
    finished = run.finish().succeeded()
    assert finished.output.count(WAITS) == finished.output.count(ROOM) == 1, finished.output
    large_ones_are_there(scene, 1)


def test_a_disk_that_stays_full_ends_the_run_and_leaves_the_jobs(
    scene: Scene, small: Project, go: Path
) -> None:
    large(scene, 2, waiting_for(go))
    run = begun(scene, 2, "--grid-outage-limit", "0.002")
    filler = fill(small.folder, MEGABYTE)
    go.touch()
    ended_in_the_keep_way(run, 2, "the disk could not be written for 7 s")
    assert run.output.count(WAITS) == 1
    assert ROOM not in run.output
    filler.unlink()
    again = scene.begin().finish().succeeded()
    assert "Going on with 2 job(s)" in again.output
    large_ones_are_there(scene, 2)


def test_inputs_wait_for_room_where_they_are_stored(
    scene: Scene, unmount: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    mount(store, 12)
    unmount.append(store)
    filler = fill(store, MEGABYTE)
    (scene.project.folder / "large.bin").write_bytes(os.urandom(4 * MEGABYTE))
    scene.many(2, wait="cmp {input} {input}", more='input: "large.bin"')
    run = scene.begin("--grid-store", store.as_uri())
    run.tells(WAITS, str(store))
    time.sleep(6)
    assert not scene.notes()
    filler.unlink()
    finished = run.finish().succeeded()
    assert finished.output.count(WAITS) == finished.output.count(ROOM) == 1, finished.output
    scene.outputs_are_there(2)


# Clocks


OTHER_CLOCK = """
import os, time

def ahead(clock, a_second):
    return lambda: clock() + HOURS * 3600 * a_second

time.time, time.time_ns = ahead(time.time, 1), ahead(time.time_ns, 10**9)
utime = os.utime

def touch(path, times=None, *, ns=None, **more):
    if times is None and ns is None:  # else the kernel sets them by its own clock
        ns = (time.time_ns(), time.time_ns())
    utime(path, **({"ns": ns} if ns is not None else {"times": times}), **more)

os.utime = touch
"""


@dataclass(frozen=True)
class Clock:
    """A clock that is wrong.

    Attributes:
        hours: By which it is ahead.
        options: For workers that have it.
    """

    hours: int
    options: tuple[str, ...]


@pytest.fixture(params=[-7, 7], ids=["behind", "ahead"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> Clock:
    """Return the clock of another machine, which worker and inner Snakemake go by.

    Only Python goes by it: under faketime 0.9.10 neither its sleep() nor its stat() work.
    """
    code = tmp_path / "clock"
    code.mkdir()
    (code / "sitecustomize.py").write_text(f"HOURS = {request.param}\n{OTHER_CLOCK}")
    setup = f"export PYTHONPATH={code}"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\n{setup}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    # The payload does not get the worker's variables, which may be in its way.
    options = ("--grid-local-python", str(python), "--grid-runtime-setup", setup)
    return Clock(request.param, options)


@pytest.mark.parametrize(
    "large_file",
    [
        pytest.param([], id="tarball"),
        pytest.param(["--grid-large-file", "1"], id="alone", marks=pytest.mark.slow),
    ],
)
def test_the_clock_of_the_worker_is_hours_off(
    scene: Scene, clock: Clock, large_file: list[str]
) -> None:
    project = scene.project
    # What a payload writes has the time of its machine.
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
    shell: "{scene.note("first")}; python -c 'import time; print(int(time.time()))' >{{output[0]}};"
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
    # Snakemake sees no reason to make anything again, and later it sees a true one.
    again = project.run(*options).succeeded()
    assert "Nothing to be done" in again.output
    project.put("in.txt", "new\n")
    project.run(*options).succeeded()
    assert project.read("last.txt").endswith("new\n")
    assert scene.notes() == {"first": 2, "last": 2}


# The submit host


def test_two_runs_in_one_directory(scene: Scene, go: Path) -> None:
    scene.many(1, wait=waiting_for(go))
    run = begun(scene, 1)
    for options, words in (
        ([], "Directory cannot be locked"),
        (["--nolock"], "another run with --executor grid is going on in"),
    ):
        second = scene.project.run(*options).failed()
        assert words in second.output
    go.touch()
    run.finish().succeeded()
    scene.outputs_are_there(1)


def test_a_lock_that_a_killed_run_has_left(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2)
    run.kill()
    locked = scene.project.run().failed()
    assert "Directory cannot be locked" in locked.output
    assert "--unlock" in locked.output
    scene.project.run("--unlock").succeeded()
    go.touch()
    again = scene.begin().finish().succeeded()
    assert "Going on with 2 job(s) of an earlier run" in again.output
    scene.outputs_are_there(2)


def test_a_second_interrupt_leaves_at_once(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2)
    site = stop_site(scene.project)
    run.interrupt_a_slow_cancel()
    left = run.finish(12).failed()
    assert re.search(
        r"Not confirmed to be cancelled: 1 \(rule a \(n=\d\)\), 2 \(rule a", left.output
    ), left.output
    assert "The next run in this directory cancels them" in left.output
    # What it was asked is lost with it.
    os.kill(site, signal.SIGKILL)
    eventually(lambda: not local_sites(scene.project))
    resumed = scene.begin()
    resumed.tells("Cancelling 2 job(s) of an earlier run")
    resumed.until(lambda: scene.notes("begun") == {"begun-0": 2, "begun-1": 2})
    go.touch()
    resumed.finish().succeeded()
    assert scene.notes("ended") == {"ended-0": 1, "ended-1": 1}
    assert [scene.project.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]


def test_a_copy_of_the_directory_is_another_one(scene: Scene, go: Path, tmp_path: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = begun(scene, 2)
    run.kill()
    folder = scene.project.folder
    subprocess.run(["cp", "-a", folder, tmp_path / "copy"], check=True)
    go.touch()
    copy = Project(tmp_path / "copy", scene.project.site)
    other = copy.run("--nolock").succeeded()
    assert "Going on with" not in other.output
    assert [copy.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]
    assert not (folder / "out/0.txt").exists()
    resumed = scene.begin("--nolock").finish().succeeded()
    assert "Going on with 2 job(s) of an earlier run" in resumed.output
    assert [scene.project.read(f"out/{n}.txt") for n in range(2)] == ["0\n", "1\n"]
    assert scene.notes() == {f"{mark}-{n}": 2 for mark in ("begun", "ended") for n in range(2)}
    with suppress(FileNotFoundError):
        assert not list(scene.project.site.folder.iterdir())
