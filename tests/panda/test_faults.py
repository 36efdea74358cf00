"""Faults of a PanDA server and of what is between it and a run: no job is lost, none runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import eventually, waiting_for

from .faults import BY_NAME, FILES, STATUS, SUBMIT, UPLOAD, Scene
from .fragile import go, scene, slow_scene

__all__ = ["go", "scene", "slow_scene"]

pytestmark = [pytest.mark.panda, pytest.mark.slow]

DOWN = "does not answer"
UP = "answers again"
AGAIN = "Resubmitting it"


# The server goes away


def test_the_server_is_killed_before_a_submission(scene: Scene, go: Path) -> None:
    scene.project.put(
        "Snakefile",
        f"""
localrules: all, prepared
rule all:
    input: expand("{{n}}.txt", n=range(2))
rule first:
    output: "first.txt"
    shell: "touch {{output}}"
rule prepared:
    input: "first.txt"
    output: "prepared.txt"
    shell: "{scene.note("prepared")}; {waiting_for(go)}; touch {{output}}"
rule a:
    input: "prepared.txt"
    output: "{{n}}.txt"
    shell: "{scene.note("a")}; touch {{output}}"
""",
    )
    run = scene.begin()
    run.until(lambda: scene.notes("prepared"))
    scene.server.kill()
    go.touch()
    run.tells(DOWN, "upload")
    scene.server.start()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert scene.notes() == {"prepared": 1, "a": 2}
    assert scene.statuses() == {"finished": 3}
    assert scene.task_statuses() == ["done"] * 2


def test_the_server_is_killed_between_upload_and_submission(scene: Scene) -> None:
    scene.many(3)
    scene.server.fault("slow", SUBMIT, seconds=60)
    run = scene.begin()
    run.until(lambda: scene.asked(SUBMIT))
    assert scene.asked(UPLOAD)
    scene.server.kill()
    run.tells(DOWN)
    scene.server.start()
    assert not scene.tasks()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    scene.each_ran_once(3)


def test_the_server_is_killed_while_jobs_wait_run_and_end(scene: Scene, go: Path) -> None:
    scene.many(6, wait=waiting_for(go))  # there is room for four
    run = scene.begin("--jobs", "6")
    run.until(lambda: len(scene.notes("begun")) == 4)
    scene.server.kill()
    go.touch()
    run.tells(DOWN)
    eventually(lambda: len(scene.notes("ended")) == 4)
    assert len(scene.notes("begun")) == 4
    scene.server.start()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert AGAIN not in finished.output
    scene.each_ran_once(6)


def test_the_server_is_killed_while_results_are_taken_in(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    away = scene.store.with_name("away")
    scene.server.fault("status", STATUS, times=None)
    run.tells(DOWN)
    go.touch()
    eventually(lambda: scene.statuses() == {"finished": 2})
    scene.store.rename(away)
    scene.server.clear_faults()
    run.tells("asked for results")
    scene.server.kill()
    away.rename(scene.store)
    run.until(lambda: (scene.project.folder / "out" / "1.txt").exists())
    scene.server.start()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_a_proxy_in_front_of_the_server_answers_503(scene: Scene, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2)
    scene.server.fault("status", times=None)
    run.tells(DOWN)
    asked = scene.asked(STATUS)
    go.touch()
    run.until(lambda: scene.asked(STATUS) > asked + 3)
    scene.server.clear_faults()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    scene.each_ran_once(2)


# Single answers are lost


def test_the_answer_to_a_submission_is_lost(scene: Scene) -> None:
    scene.many(3)
    scene.server.fault("lost", SUBMIT)
    finished = scene.begin().finish().succeeded()
    assert AGAIN not in finished.output
    assert scene.asked(SUBMIT) == 1
    scene.each_ran_once(3)


def test_a_task_is_done_before_the_run_can_look_for_it(scene: Scene) -> None:
    scene.many(2)
    scene.server.fault("lost", SUBMIT)
    scene.server.fault("status", BY_NAME, times=None, skip=1)  # one is asked for at the beginning
    run = scene.begin()
    run.tells(DOWN)
    run.until(lambda: scene.task_statuses() == ["done"])
    asked = scene.asked(BY_NAME)
    run.until(lambda: scene.asked(BY_NAME) > asked)
    scene.server.clear_faults()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert scene.asked(SUBMIT) == 1
    scene.each_ran_once(2)


def test_a_task_is_not_registered_when_the_run_looks_for_it(slow_scene: Scene) -> None:
    scene = slow_scene
    scene.many(2)
    scene.server.fault("lost", SUBMIT)
    run = scene.begin()
    run.until(lambda: scene.asked(SUBMIT) == 2)
    assert scene.task_statuses() == ["waiting"]
    run.finish().succeeded()
    scene.each_ran_once(2)
    assert scene.asked(SUBMIT) == 2


def test_the_answer_for_one_task_of_several_is_lost(scene: Scene) -> None:
    scene.many(6, more="resources: mem_mb=lambda wildcards: 100 * (1 + int(wildcards.n) % 3)")
    scene.server.fault("lost", SUBMIT, skip=1)
    finished = scene.begin("--jobs", "6").finish().succeeded()
    assert AGAIN not in finished.output
    assert scene.asked(SUBMIT) == 3
    scene.each_ran_once(6, tasks=3)


@pytest.mark.parametrize("kind", ["lost", "closed", "garbage", "status"])
def test_single_answers_are_no_good(scene: Scene, kind: str) -> None:
    with (scene.project.folder / "large.bin").open("wb") as file:
        file.write(bytes(range(256)) * 1024)
    scene.many(3, more='input: "large.bin"')
    paths = (UPLOAD, UPLOAD, SUBMIT, STATUS, STATUS, FILES, BY_NAME)
    for path in paths:
        # The first file arrives; at the beginning the server is asked for a task.
        scene.server.fault(kind, path, skip=int(path in (UPLOAD, BY_NAME)))
    finished = scene.begin().finish().succeeded()
    assert AGAIN not in finished.output
    assert finished.output.count(DOWN) == finished.output.count(UP) > 0
    assert scene.asked(UPLOAD) > 3
    # What the server has done is found; what it has not done is done once more.
    assert scene.asked(SUBMIT) == (1 if kind in ("lost", "garbage") else 2)
    scene.each_ran_once(3)
