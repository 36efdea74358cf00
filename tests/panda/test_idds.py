"""Workflows whose tasks go through iDDS, by the relay of a PanDA server: ``--grid-panda-route``."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, Site
from tests.faults import eventually, waiting_for
from tests.servers.panda.fixture import can_isolate
from tests.servers.panda.idds import IddsRelay, python_with_idds
from tests.servers.panda.server import PandaServer
from tests.servers.panda.world import RelayedCommand, World

from .faults import FILES, SUBMIT, Scene
from .seen import Seen, running, until

pytestmark = [pytest.mark.panda, pytest.mark.workflow]

RELAY = "/relay_idds_command"
DOWN = "does not answer"
AGAIN = "Resubmitting it"
REFUSAL = "refusal"


class Relay(IddsRelay):
    """A relay whose iDDS refuses to take requests for the reason in a file of the server."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._refusal = world.settings.folder / REFUSAL

    async def __call__(self, command: RelayedCommand) -> str:
        if command.command_name == "submit" and self._refusal.exists():
            # The ClientManager makes an answer of its errors, which the relay takes for a result.
            return json.dumps([True, [False, self._refusal.read_text()]])
        return await super().__call__(command)


@pytest.fixture(scope="module")
def python() -> Path:
    found = python_with_idds()
    if found is None:
        if os.environ.get("GRID_TEST_IDDS_REQUIRED"):
            pytest.fail("GRID_TEST_IDDS_REQUIRED is set, but there is no GRID_TEST_IDDS_PYTHON")
        pytest.skip("no Python with idds-atlas, idds-client and panda-client is named")
    return found


@pytest.fixture(scope="module")
def panda_server(python: Path) -> Iterator[PandaServer]:
    """Return a server with iDDS behind it."""
    folder = Path(tempfile.mkdtemp(prefix="panda-idds-"))
    relay = f"{__name__}:{Relay.__name__}"
    server = PandaServer.create(folder / "server", isolate=can_isolate(), idds=relay)
    try:
        server.start()
        yield server
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def site(site: Site, python: Path) -> Site:
    """Return the server as a site whose tasks go through iDDS."""
    options = ("--grid-panda-route", "idds", "--grid-panda-python", str(python))
    return dataclasses.replace(site, options=(*site.options, *options))


class Requests:
    """The requests that are new to iDDS since the test began."""

    def __init__(self, server: PandaServer) -> None:
        self._file = server.folder / "idds" / "idds.json"
        self._old = len(self._all())

    def _all(self) -> list[dict[str, Any]]:
        return json.loads(self._file.read_text()) if self._file.exists() else []

    def __call__(self) -> list[dict[str, Any]]:
        return self._all()[self._old :]

    def names(self) -> list[str]:
        return sorted(str(request["properties"]["name"]) for request in self())

    def tasks(self) -> list[int | None]:
        return [request["task"] for request in self()]


@pytest.fixture
def requests(panda_server: PandaServer) -> Requests:
    return Requests(panda_server)


@pytest.fixture
def scene(project: Project, panda_server: PandaServer, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(project, panda_server, tmp_path, tmp_path / "store")
    yield made
    panda_server.start()
    made.end()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Return the file for which jobs wait."""
    return tmp_path / "go"


def test_jobs_of_a_shape_are_one_request(
    project: Project, panda_server: PandaServer, seen: Seen, requests: Requests
) -> None:
    project.put(
        "Snakefile",
        """
envvars: "GRID_TEST_WORD"
rule all:
    input: "sum.txt"
    localrule: True
rule part:
    output: "part-{n}.txt"
    shell: "echo {wildcards.n} $GRID_TEST_WORD > {output}"
rule sum:
    input: expand("part-{n}.txt", n=range(3))
    output: "sum.txt"
    threads: 2
    shell: "cat {input} > {output}"
""",
    )
    panda_server.forget_requests()
    # The server gives a user's secrets to tasks of that user only, not to those of iDDS.
    project.environment["GRID_TEST_WORD"] = "hush"
    project.run("--grid-panda-secrets", "server").succeeded()
    assert project.read("sum.txt") == "0 hush\n1 hush\n2 hush\n"
    tasks = seen.tasks()
    assert [len(task["parameters"]["pfnList"]) for task in tasks] == [3, 1]
    assert [task["user"] for task in tasks] == ["Alice Test"] * 2  # not the account of iDDS
    assert requests.names() == sorted(task["parameters"]["taskName"] for task in tasks)
    assert requests.tasks() == [task["number"] for task in tasks]
    asked = panda_server.requests()
    assert asked.of(SUBMIT) == 2  # by iDDS
    assert seen.states() == ["finished"] * 4


def test_a_job_that_fails_is_reported(project: Project, seen: Seen) -> None:
    project.put(
        "Snakefile",
        'rule bad:\n    output: "out.txt"\n    shell: "echo went wrong >&2; exit 3"\n',
    )
    output = project.run().failed().output
    assert "Error in rule bad" in output
    assert "exit code 3" in output or "exit status 3" in output
    assert "went wrong" in output
    assert seen.states() == ["failed"]
    assert AGAIN not in output


LONG_JOBS = """
rule all:
    input: expand("{n}.txt", n=range(2))
    localrule: True
rule wait:
    output: "{n}.txt"
    shell: "sleep 100; touch {output}"
"""


def test_an_interrupt_aborts_the_request_and_its_task(
    project: Project, panda_server: PandaServer, seen: Seen, requests: Requests
) -> None:
    project.put("Snakefile", LONG_JOBS)
    with running(project) as run:
        run.until(lambda: seen.states() == ["running"] * 2)
        output = run.interrupt()
    assert "2 job(s) cancelled" in output
    assert "Not confirmed" not in output
    until(lambda: seen.states() == ["cancelled"] * 2)
    until(lambda: [task["status"] for task in seen.tasks()] == ["aborted"])
    assert [request["abort"] for request in requests()] == [True]
    until(lambda: panda_server.status()["payloads"] == 0)


def test_an_interrupt_that_idds_loses_kills_the_task_that_comes(
    project: Project, panda_server: PandaServer, seen: Seen, requests: Requests
) -> None:
    project.put("Snakefile", LONG_JOBS)
    panda_server.forget_requests()
    # The abort comes before there is a task: iDDS tries again to submit it.
    panda_server.fault("hang", SUBMIT, seconds=4)
    with running(project) as run:
        run.until(lambda: requests() and panda_server.requests().of(SUBMIT))
        output = run.interrupt()
    assert "2 job(s) cancelled" in output
    assert "Not confirmed" not in output
    until(lambda: [task["status"] for task in seen.tasks()] == ["aborted"])
    assert [request["abort"] for request in requests()] == [True]
    until(lambda: panda_server.status()["payloads"] == 0)


def test_the_answer_to_a_request_is_lost(scene: Scene, requests: Requests) -> None:
    scene.many(3)
    # At the beginning a request is looked for that is not there.
    scene.server.fault("lost", RELAY, skip=1)
    finished = scene.begin().finish().succeeded()
    assert AGAIN not in finished.output
    assert f"{DOWN}, asked for submission" in finished.output
    assert len(requests()) == 1
    scene.each_ran_once(3)


def test_a_request_is_not_there_when_its_answer_is_missing(
    scene: Scene, requests: Requests
) -> None:
    scene.many(2)
    scene.server.fault("closed", RELAY, skip=1)
    finished = scene.begin().finish().succeeded()
    assert AGAIN not in finished.output
    assert f"{DOWN}, asked for submission" in finished.output
    assert len(requests()) == 1
    scene.each_ran_once(2)


def test_the_server_is_killed_before_a_request_has_its_task(
    scene: Scene, requests: Requests
) -> None:
    scene.many(2)
    scene.server.fault("slow", SUBMIT, seconds=60)
    run = scene.begin()
    run.until(lambda: requests() and scene.asked(SUBMIT))
    scene.server.kill()
    run.tells(DOWN)
    scene.server.start()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    assert len(requests()) == 1
    scene.each_ran_once(2)


def test_the_server_is_killed_while_jobs_run(scene: Scene, requests: Requests, go: Path) -> None:
    scene.many(3, wait=waiting_for(go))
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 3 and scene.asked(FILES))
    scene.server.kill()
    go.touch()
    run.tells(DOWN)
    eventually(lambda: len(scene.notes("ended")) == 3)
    scene.server.start()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    assert len(requests()) == 1
    scene.each_ran_once(3)


@pytest.fixture
def one(project: Project) -> Project:
    project.put("Snakefile", 'rule one:\n    output: "out.txt"\n    shell: "date > {output}"\n')
    return project


def test_idds_refuses_a_request(one: Project, panda_server: PandaServer, seen: Seen) -> None:
    reason = "IDDSException:User Alice Test has no permission to update requests"
    refusal = panda_server.folder / REFUSAL
    refusal.write_text(reason)
    try:
        output = one.run(timeout=60).failed().output
    finally:
        refusal.unlink()
    assert f"panda refused it: PanDA, asked for idds submit: {reason}" in output
    assert "[True" not in output
    assert DOWN not in output
    assert seen.tasks() == []


def test_a_request_fails_before_it_has_a_task(
    one: Project, panda_server: PandaServer, seen: Seen, requests: Requests
) -> None:
    panda_server.fault("status", SUBMIT, times=None)
    output = one.run("--grid-infrastructure-retries", "1", timeout=60).failed().output
    # Nothing has run: that is no fault of the job.
    assert requests.tasks() == [None, None]
    assert output.count(AGAIN) == 1
    for request in requests():
        assert f"iDDS request {request['number']} is Failed: it has got no task" in output
    assert "Error in rule one" in output
    assert seen.tasks() == []


def test_a_request_fails_though_it_has_a_task(scene: Scene, requests: Requests, go: Path) -> None:
    scene.many(2, wait=waiting_for(go))
    scene.server.fault("lost", SUBMIT)
    # For so long that the task is known to JEDI by then.
    scene.server.fault("hang", SUBMIT, times=2, seconds=0.5)
    run = scene.begin()
    run.until(lambda: len(scene.notes("begun")) == 2 and scene.asked(FILES))
    assert requests.tasks() == [None]
    go.touch()
    finished = run.finish().succeeded()
    assert AGAIN not in finished.output
    scene.each_ran_once(2)


def test_a_python_without_idds(one: Project, seen: Seen, tmp_path: Path) -> None:
    python = tmp_path / "python"
    hide = "import sys; sys.modules['idds'] = None"
    (tmp_path / "sitecustomize.py").write_text(f"{hide}\n")
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    output = one.run("--grid-panda-python", str(python), timeout=60).failed().output
    assert "install the extra idds where panda-client is" in output
    assert "Error in rule" not in output, "it is told too late"
    assert seen.tasks() == []
