"""Several jobs in one grid job: each keeps its own outcome, whatever becomes of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.faults import Scene, eventually, waiting_for

from .backend import Backend
from .test_faults import AFTER_KILL, AGAIN

pytestmark = pytest.mark.workflow

IN_THREES = ("--grid-bundle", "3", "--grid-bundle-processors", "1")
KILL_BUNDLE = (
    "d=$PWD; while test $d != /; do test -e $d/started && top=$d; d=$(dirname $d); done; "
    "kill -KILL $(cat $top/started); sleep 60"
)
"""The folder of the bundle is the highest one that a worker has marked as its own."""


def test_one_that_fails_leaves_the_others_alone(backend: Backend, project: Project) -> None:
    project.write(
        Snakefile="""
rule all:
    input: expand("out/{n}.txt", n=range(7))
rule a:
    input: "in.txt"
    output: "out/{n}.txt"
    log: "logs/{n}.log"
    shell:
        "echo logged >{log}; echo said {wildcards.n}; "
        "test {wildcards.n} != 4 || exit 3; cat {input} >{output}; echo {wildcards.n} >>{output}"
"""
    )
    project.put("in.txt", "in ")
    failed = project.run(*IN_THREES, "--keep-going").failed()
    assert "6 of 7 jobs succeeded, 1 failed" in failed.output
    assert "exit code 3" in failed.output
    assert AGAIN not in failed.output
    for n in {*range(7)} - {4}:
        assert project.read(f"out/{n}.txt") == f"in {n}\n"
    assert not (project.folder / "out" / "4.txt").exists()
    assert {project.read(f"logs/{n}.log") for n in range(7)} == {"logged\n"}
    logs = [path.read_text() for path in project.folder.glob(".snakemake/grid/logs/**/*.log")]
    assert len(logs) == 7
    assert sum("said 4" in log for log in logs) == 1
    project.run(*IN_THREES, "--keep-going").failed()  # only that one, alone


def test_a_bundle_is_one_job_on_the_server(backend: Backend, scene: Scene, go: Path) -> None:
    scene.many(4, wait=waiting_for(go))
    run = scene.begin(*IN_THREES)
    run.until(lambda: scene.notes("begun"))
    eventually(lambda: len(backend.states(scene.project)) == 2)
    go.touch()
    run.finish().succeeded()
    scene.outputs_are_there(4)


def test_a_killed_run_finds_each_job(backend: Backend, scene: Scene, go: Path) -> None:
    scene.many(3, wait=f"test {{wildcards.n}} = 0 || {waiting_for(go)}")
    run = scene.begin(*IN_THREES, "--grid-bundle-processors", "3")
    run.until(lambda: len(scene.notes("begun")) == 3)
    if backend.reports_one_by_one:
        run.until(lambda: "1 of 4 steps" in run.output)
    run.kill()
    resumed = scene.begin(*AFTER_KILL)
    resumed.tells(f"Going on with {2 if backend.reports_one_by_one else 3} job(s)")
    go.touch()
    resumed.finish().succeeded()
    scene.outputs_are_there(3)
    eventually(lambda: not backend.active(scene.project))


def test_an_interrupt_cancels_the_bundle(backend: Backend, scene: Scene) -> None:
    scene.many(3, wait="sleep 100")
    run = scene.begin(*IN_THREES)
    run.until(lambda: scene.notes("begun"))
    run.interrupt()
    output = run.finish(90).failed().output
    assert "3 job(s) cancelled" in output
    assert "Not confirmed" not in output
    eventually(lambda: not backend.active(scene.project))
    assert sum(scene.notes("begun").values()) == 1
    assert scene.notes("ended") == {}


def test_a_job_that_has_not_begun_is_cancelled(backend: Backend, scene: Scene, go: Path) -> None:
    scene.many(3, wait=waiting_for(go))
    run = scene.begin(*IN_THREES, *backend.one_by_one(), "--keep-going")
    run.until(lambda: scene.notes("begun"))
    (begun,) = scene.notes("begun")
    waits = (int(begun.partition("-")[2]) + 1) % 3
    cancelled = scene.project.grid("cancel", "a", f"n={waits}", "--yes").failed()
    assert "the cancellation of 1 job is not confirmed" in cancelled.output
    go.touch()
    output = run.finish().failed().output
    assert "cancelled before it began" in output
    assert "2 of 3 jobs succeeded, 1 failed" in output
    others = {*range(3)} - {waits}
    assert scene.notes() == {f"{mark}-{n}": 1 for n in others for mark in ("begun", "ended")}


def test_a_lost_bundle_loses_only_jobs_without_a_report(backend: Backend, scene: Scene) -> None:
    folder = scene.project.folder.parent
    other = f"test $(ls {folder}/notes | grep -c begun) != 2 || ! mkdir {folder}/tried 2>/dev/null"
    scene.many(3, wait=f"{other} || {{{{ {KILL_BUNDLE}; }}}}")
    output = scene.begin(*IN_THREES).finish().succeeded().output
    lost = 2 if backend.reports_one_by_one else 3
    assert output.count(AGAIN) == lost, output
    assert sum(scene.notes("ended").values()) == 3 + (lost == 3)
    for n in range(3):
        assert scene.project.read(f"out/{n}.txt") == f"{n}\n"
