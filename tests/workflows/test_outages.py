"""Outages of a store and full disks: the run waits, and no job fails, is lost or runs twice."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Running, Scene, eventually, meddle, waiting_for

from .fault_bench import mount, unmount_later
from .outage_bench import begin_jobs, go, scene, suspend_site

__all__ = ["go", "scene", "unmount_later"]

pytestmark = pytest.mark.workflow

DOWN = "does not answer, asked for"
UP = "answers again"
WAITS = "Waiting for the disk"
ROOM = "There is room on the disk again"
MEGABYTE = 1 << 20

# A call to a local server that does not answer takes 30 seconds, because it may be busy.
IMPATIENT = """
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
LocalBackend._call.__kwdefaults__["wait"] = 1.5
"""


def assert_jobs_kept(run: Running, count: int, why: str) -> None:
    """Assert that a run says why it ends and how to continue, and keeps its jobs."""
    left = run.finish(90)
    assert left.failed().code == 1, left.output
    assert re.search(rf"The run ends: .*{why}.*--grid-outage-limit", left.output), left.output
    assert f"{count} stay on the grid" in left.output
    assert "run the same command again" in left.output
    assert "cancelled" not in left.output.lower(), left.output
    assert "Error in rule" not in left.output, left.output


def run_with_lost_store(scene: Scene, go: Path, store: Path, *args: str) -> tuple[Running, int]:
    """Begin a run whose jobs succeed while the local server is suspended."""
    meddle(scene.project, store.with_name("code"), IMPATIENT)
    scene.many(2, wait=waiting_for(go))
    run = begin_jobs(scene, 2, "--grid-store", store.as_uri(), *args)
    site = suspend_site(scene.project)
    go.touch()
    reports = scene.project.site.folder
    eventually(lambda: len(list(reports.glob("*/jobs/*/report.json"))) == 2)
    return run, site


def test_run_waits_for_a_store_that_is_away(scene: Scene, go: Path, tmp_path: Path) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    run, site = run_with_lost_store(scene, go, store)
    store.rename(away)
    os.kill(site, signal.SIGCONT)
    run.tells("asked for outputs")
    time.sleep(6)
    assert run.process.poll() is None, run.output
    assert not store.exists()
    away.rename(store)
    finished = run.finish().succeeded()
    # The suspended local server may have caused the first outage.
    ends = re.findall(f"{DOWN}|{UP}", finished.output)
    assert ends in ([DOWN, UP], [DOWN, UP] * 2), finished.output
    assert finished.output.count("asked for outputs") == 1
    scene.outputs_are_there(2)


@pytest.mark.slow  # as an outage of the system, in the conformance set
def test_store_that_is_away_past_the_limit_ends_the_run_and_keeps_the_jobs(
    scene: Scene, go: Path, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    options = ("--grid-outage-limit", "0.004")
    run, site = run_with_lost_store(scene, go, store, *options)
    store.rename(away)
    os.kill(site, signal.SIGCONT)
    run.tells("asked for outputs")
    assert_jobs_kept(run, 2, "has not answered for 14 s, asked for outputs")
    away.rename(store)
    again = scene.begin("--grid-store", store.as_uri(), *options).finish().succeeded()
    assert "Going on with 2 job(s)" in again.output
    scene.outputs_are_there(2)


@pytest.fixture
def small(project: Project, unmount_later: list[Path]) -> Project:
    """Return a project on a disk of 12 MB."""
    mount(project.folder, 12)
    unmount_later.append(project.folder)
    return project


def fill(folder: Path, room: int) -> Path:
    """Fill a disk except for some bytes; return the file that fills it."""
    state = os.statvfs(folder)
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - room)
    return filler


def large(scene: Scene, count: int, wait: str) -> None:
    """Write a workflow whose jobs make 3 MB each of incompressible data."""
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


def assert_large_outputs(scene: Scene, count: int) -> None:
    import random

    wanted = {f"{mark}-{n}": 1 for n in range(count) for mark in ("begun", "ended")}
    assert scene.notes() == wanted
    for n in range(count):
        output = scene.project.folder / f"out/{n}.bin"
        assert output.read_bytes() == random.Random(n).randbytes(3_000_000)  # noqa: S311


@pytest.mark.parametrize(
    ("room", "why"),
    [
        (0, "the disk of the submit host is full"),
        pytest.param(MEGABYTE, "take 3.0 MB", marks=pytest.mark.slow),
    ],
)
def test_outputs_wait_for_room_on_the_disk(
    scene: Scene, small: Project, go: Path, room: int, why: str
) -> None:
    large(scene, 2, waiting_for(go))
    run = begin_jobs(scene, 2)
    filler = fill(small.folder, room)
    go.touch()
    run.tells(WAITS, why)
    time.sleep(8)
    assert run.process.poll() is None, run.output
    assert not list(small.folder.glob("out/*"))
    filler.unlink()
    finished = run.finish().succeeded()
    assert finished.output.count(WAITS) == finished.output.count(ROOM) == 1, finished.output
    assert "Error in rule" not in finished.output
    assert_large_outputs(scene, 2)
    assert "Nothing to be done" in small.run().succeeded().output


def test_small_outputs_are_installed_while_a_large_one_waits_for_room(
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
    run = begin_jobs(scene, 1, "--grid-local-cores", "4")
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
    assert_large_outputs(scene, 1)


def test_disk_that_stays_full_ends_the_run_and_keeps_the_jobs(
    scene: Scene, small: Project, go: Path
) -> None:
    large(scene, 2, waiting_for(go))
    run = begin_jobs(scene, 2, "--grid-outage-limit", "0.002")
    filler = fill(small.folder, MEGABYTE)
    go.touch()
    assert_jobs_kept(run, 2, "the disk could not be written for 7 s")
    assert run.output.count(WAITS) == 1
    assert ROOM not in run.output
    filler.unlink()
    again = scene.begin().finish().succeeded()
    assert "Going on with 2 job(s)" in again.output
    assert_large_outputs(scene, 2)


def test_inputs_wait_for_room_where_they_are_stored(
    scene: Scene, unmount_later: list[Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    mount(store, 12)
    unmount_later.append(store)
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
