"""Faults of a real DIRAC server and its sites: no job is lost, none runs twice after success.

Two servers are broken side by side: run with ``pytest -n 2 --dist loadgroup``, so that each worker
has one for itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import waiting_for
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import LOCAL_SITE, SECOND_SITE

from .conftest import MAX_PARAMETRIC_JOBS
from .faults import Scene, intercepted

pytestmark = [pytest.mark.dirac, pytest.mark.slow]
of_outages = pytest.mark.xdist_group("dirac-outages")
of_jobs = pytest.mark.xdist_group("dirac-jobs")

DOWN = "does not answer"
UP = "answers again"
AGAIN = "Resubmitting it"


def ended(scene: Scene, count: int) -> Callable[[], bool]:
    return lambda: scene.statuses()["Done"] == count


@contextmanager
def little_room(server: DiracServer, megabytes: int) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(server.limited_storage("SE-1", megabytes))
        except PermissionError as error:
            pytest.skip(f"needs to mount a small file system: {error}")
        yield


def down_and_up(server: DiracServer, *components: str, seconds: float) -> None:
    for component in components:
        server.kill(component)
    time.sleep(seconds)
    for component in components:
        server.start(component)


# The server goes away


@of_outages
def test_the_server_is_killed_during_submission(scene: Scene) -> None:
    count = 3 * MAX_PARAMETRIC_JOBS
    scene.many(count)
    run = scene.begin("--jobs", str(count))
    run.until(scene.rows)
    scene.server.kill(scene.server.front)
    assert len(scene.rows()) < count
    run.tells(DOWN)
    time.sleep(5)
    scene.server.start(scene.server.front)
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert "left behind" not in finished.output
    scene.each_ran_once(count)


@of_outages
@pytest.mark.parametrize("call", ["create", "confirm"])
def test_the_answer_to_a_submission_is_lost(scene: Scene, call: str) -> None:
    count = 2 * MAX_PARAMETRIC_JOBS
    scene.many(count)
    with intercepted(scene.project, scene.server, "JobManager") as (interceptor,):
        if call == "create":
            interceptor.lose(lambda: bool(scene.rows()))
        else:
            interceptor.lose(lambda: bool(set(scene.statuses()) - {"Submitting"}))
        finished = scene.begin().finish().succeeded()
    assert interceptor.lost == 1
    assert AGAIN not in finished.output
    scene.each_ran_once(count)
    assert len(scene.rows()) == count  # none was even made twice


@of_outages
def test_the_server_is_killed_during_download(scene: Scene) -> None:
    scene.many(2)
    server = scene.server

    def kill_at_the_end() -> bool:
        if not ended(scene, 2)():
            return False
        server.kill("services")
        return True

    with intercepted(scene.project, scene.server, "SandboxStore") as (interceptor,):
        interceptor.lose(kill_at_the_end)
        run = scene.begin()
        run.tells(DOWN)
        assert interceptor.lost == 1
        assert len(list(scene.project.folder.glob("out/*"))) < 2
        time.sleep(3)
        server.start("services")
        run.finish().succeeded()
    scene.each_ran_once(2)
    assert len(scene.rows()) == 2


@of_outages
def test_the_storage_element_is_away_when_outputs_are_fetched(scene: Scene) -> None:
    scene.many(1)  # of several one may have come back before the last is registered
    server = scene.server

    def registered() -> int:
        rows = server.query("SELECT COUNT(*) FROM FC_Files", "FileCatalogDB")
        return int(rows[0][0])

    before = registered()
    run = scene.begin("--grid-dirac-storage-element", "SE-1")
    run.until(scene.rows)
    run.until(lambda: registered() == before + 1)
    server.kill("SE-1")
    run.tells(DOWN, "outputs")
    assert not list(scene.project.folder.glob("out/*"))
    server.start("SE-1")
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    scene.each_ran_once(1)
    assert len(scene.rows()) == 1


# The proxy expires


# Jobs are killed


KILLED = """
rule all:
    input: "running.txt", "waiting.txt"
rule running:
    output: "running.txt"
    shell: "{running}; {wait}; touch {{output}}"
rule waiting:
    output: "waiting.txt"
    resources: grid_tags=lambda wildcards, attempt: ["Nowhere", "MultiProcessor"][attempt - 1]
    shell: "{waiting}; touch {{output}}"
"""


@of_jobs
def test_an_administrator_kills_jobs(scene: Scene, tmp_path: Path) -> None:
    go = tmp_path / "go"
    scene.project.put(
        "Snakefile",
        KILLED.format(
            running=scene.note("running"),
            waiting=scene.note("waiting"),
            wait=waiting_for(go),
        ),
    )
    run = scene.begin("--retries", "1")
    run.until(lambda: scene.notes("running"))
    run.until(
        lambda: {"waiting": "Waiting"}.items() <= {r.rule: r.status for r in scene.rows()}.items()
    )
    killed = {row.rule: row for row in scene.rows()}
    scene.server.kill_jobs(*(row.number for row in killed.values()))
    for rule, row in killed.items():
        run.tells(f"rule {rule}, dirac job {row.number}: ", seconds=100)
    go.touch()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    for row in killed.values():
        line = next(line for line in finished.output.splitlines() if f"job {row.number}:" in line)
        assert "killed" in line
    assert scene.notes() == {"running": 2, "waiting": 1}
    # Each was sent once more, by the rule's retries.
    done = [row.rule for row in scene.rows() if row.status == "Done"]
    assert sorted(done) == ["running", "waiting"]
    assert len(scene.rows()) == 4


@of_jobs
def test_an_agent_is_killed_under_its_job(scene: Scene, tmp_path: Path) -> None:
    go = tmp_path / "go"
    scene.project.put(
        "Snakefile",
        f"""
rule a:
    output: "a.txt"
    shell: "{scene.note("begun")}; {waiting_for(go)}; "
        "{scene.note("ended")}; touch {{output}}"
""",
    )
    run = scene.begin("--retries", "0")
    run.until(lambda: scene.notes("begun"))
    agent = [LOCAL_SITE, SECOND_SITE].index(scene.rows()[0].site) + 1
    scene.server.kill_agent(agent)
    scene.server.start_agent(agent)
    run.tells(AGAIN, seconds=90)
    go.touch()
    finished = run.finish().succeeded()
    assert "its pilot is gone" in finished.output
    assert scene.notes() == {"begun": 2, "ended": 1}
    first, second = scene.rows()
    assert (first.status, second.status) == ("Failed", "Done")
    assert second.name == f"{first.name}.1"


@of_jobs
def test_a_site_that_fails_job_after_job_is_avoided(scene: Scene, tmp_path: Path) -> None:
    server = scene.server
    scene.many(1)  # the other site has to be known to run jobs
    scene.begin("--grid-site", SECOND_SITE).finish().succeeded()
    scene.many(4)
    server.stop("agent-2")
    # Its jobs find another Python.
    python = server.settings.worker_path / "python3"
    setup = f"test $(command -v python3) = {python}"
    other = DiracServer(replace(server.settings, worker_path=tmp_path / "nothing"))
    server.stop("agent")
    other.start_agent(1)
    try:
        run = scene.begin("--grid-runtime", "setup", "--grid-runtime-setup", setup)
        run.tells(f"site {LOCAL_SITE} has failed 3 jobs in a row", seconds=90)
        server.start_agent(2)
        finished = run.finish().succeeded()
    finally:
        server.stop("agent")
    assert finished.output.count(AGAIN) == 3
    scene.each_ran_once(4)
    assert {row.site for row in scene.rows() if row.status == "Done"} == {SECOND_SITE}


# The storage element is full


@of_jobs
def test_outputs_do_not_fit_on_the_storage_element(scene: Scene) -> None:
    scene.project.put(
        "Snakefile",
        f"""
rule a:
    output: "a.bin"
    shell: "{scene.note("a")}; head -c 6000000 /dev/zero >{{output}}"
""",
    )
    options = ("--grid-dirac-storage-element", "SE-1", "--grid-infrastructure-retries", "1")
    with little_room(scene.server, 3):
        failed = scene.begin(*options).finish().failed()
    assert failed.output.count(AGAIN) == 1
    assert "if SE-1 is full" in failed.output
    assert scene.notes() == {"a": 2}
    assert scene.statuses() == {"Killed": 2}  # DIRAC does not start them again by itself
    scene.begin(*options).finish().succeeded()
    assert (scene.project.folder / "a.bin").stat().st_size == 6000000
    assert scene.notes() == {"a": 3}


@of_jobs
def test_inputs_wait_for_room_on_the_storage_element(scene: Scene) -> None:
    scene.project.put(
        "Snakefile",
        f"""
rule a:
    input: "large.bin"
    output: "a.txt"
    shell: "{scene.note("a")}; wc -c <{{input}} >{{output}}"
""",
    )
    with (scene.project.folder / "large.bin").open("wb") as file:
        file.write(random.Random(1).randbytes(12 << 20))  # noqa: S311
    with little_room(scene.server, 4):
        run = scene.begin("--grid-dirac-storage-element", "SE-1")
        run.tells(DOWN)
        assert not scene.rows()
    finished = run.finish().succeeded()
    assert finished.output.count(DOWN) == finished.output.count(UP) == 1
    assert scene.project.read("a.txt").strip() == str(12 << 20)
    assert scene.notes() == {"a": 1}
    assert scene.statuses() == {"Done": 1}


# The submit host
