"""The executor's own part between Snakemake and the controller."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins import utils
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_plugin_grid.console.last_words import Tally
from snakemake_executor_plugin_grid.executor import Executor
from snakemake_executor_plugin_grid.journal.catalog import Catalog
from snakemake_executor_plugin_grid.journal.database import DATABASE_FILE, FOLDER, Database
from snakemake_executor_plugin_grid.journal.lock import lock_folder
from tests.conftest import Finished, Project

SNAKEFILE = """
rule all:
    input: "a.txt"

rule make:
    output: "a.txt"
    shell: "echo made > {output}"
"""


async def polled(executor: Executor, infos: list[SubmittedJobInfo]) -> list[SubmittedJobInfo]:
    return [info async for info in executor.check_active_jobs(infos)]


def unmade() -> Executor:
    """Return an executor as Snakemake's thread may find it: before anything has set it up."""
    return Executor.__new__(Executor)


def test_snakemake_may_ask_before_there_is_anything_to_ask() -> None:
    jobs: list[Any] = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]
    infos = [SubmittedJobInfo(job) for job in jobs]
    for asked in ([], infos):
        assert asyncio.run(polled(unmade(), asked)) == asked


def test_a_round_that_begins_when_the_run_ends_is_not_waited_for(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def poll() -> list[Any]:
        await asyncio.sleep(30)  # as a site that hangs
        return []

    executor: Any = unmade()
    executor._unnoted, executor._submitting = set(), False
    executor._run = SimpleNamespace(
        controller=SimpleNamespace(poll=poll, loop=loop, pause=1),
    )
    executor._shutdown = SimpleNamespace(ending=True, look=lambda quiet: None)
    pace = SimpleNamespace(seconds_between_status_checks=1)
    executor.workflow = SimpleNamespace(remote_execution_settings=pace)
    job: Any = SimpleNamespace(name="a")
    info = SubmittedJobInfo(job)
    began = time.monotonic()
    assert asyncio.run(polled(executor, [info])) == [info]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("said", "next_poll", "pause"),
    [(10, 15.0, 10), (10, 5.0, 5.0), (10, 0.0, 2.0), (0, 15.0, 0)],
    ids=["reports ended jobs", "asks when it is time", "outage", "never pauses"],
)
def test_snakemake_comes_back_when_it_is_time(said: int, next_poll: float, pause: float) -> None:
    executor: Any = unmade()
    executor._run = SimpleNamespace(controller=SimpleNamespace(pause=next_poll or 2.0))
    pace = SimpleNamespace(seconds_between_status_checks=said)
    executor.workflow = SimpleNamespace(remote_execution_settings=pace)
    executor._set_pace()
    assert executor.next_seconds_between_status_checks == pause


def test_without_a_job_snakemakes_thread_asks_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As when a program ends in which there was nothing to be done.
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    monkeypatch.setattr(utils, "_pool", pool)
    executor: Any = unmade()
    executor.wait, executor.lock = True, threading.Lock()
    settings = SimpleNamespace(init_seconds_before_status_checks=0)
    executor.workflow = SimpleNamespace(executor_plugin=SimpleNamespace(common_settings=settings))

    async def scene() -> None:
        polling = asyncio.create_task(executor._wait_for_jobs())
        await asyncio.sleep(0.05)
        executor.wait = False
        await polling

    asyncio.run(scene())


@dataclass(frozen=True)
class Job:
    """A job, as far as the last words name it."""

    name: str


def test_the_last_words_name_a_job_that_snakemake_could_not_complete() -> None:
    executor: Any = unmade()
    executor._unnoted, executor._names, executor._tally = set(), {}, Tally()
    executor._run = SimpleNamespace(
        workflow_api=SimpleNamespace(wildcards=lambda job: {"run": "4"}),
        output_backups=SimpleNamespace(restore=lambda job: None),
    )
    jobs = [Job("other"), Job("simulate")]
    executor._tally.began(jobs)
    executor._tally.returned(jobs[1])
    executor._tally.failed(jobs[0], "other", {}, "exit status 3", has_log=False)
    for one in jobs:
        executor.handle_job_error(one)
    words = executor._tally.summary(lambda _: True)
    assert "2 failed for good" in words
    assert "other, exit status 3" in words
    executor._tally.succeeded(jobs[0])
    assert "simulate (run=4), Snakemake" in executor._tally.summary(lambda _: True)


# What cannot begin


def says_only(finished: Finished, words: str) -> None:
    """See that a run has ended with some words, and no line of this package."""
    assert finished.failed().code == 1
    assert words in finished.output
    for sign in ("snakemake_executor_plugin_grid", "executor.py", "GridError", "in line", ", line"):
        assert sign not in finished.output, finished.output
    assert "Error in rule" not in finished.output, finished.output
    assert "grid.sqlite" not in finished.output


@pytest.fixture
def ready(project: Project) -> Project:
    project.write(Snakefile=SNAKEFILE)
    return project


@pytest.mark.workflow
def test_a_second_run_is_told_so_in_words(ready: Project) -> None:
    with lock_folder(ready.folder / FOLDER):
        says_only(
            ready.run("--nolock", timeout=60),
            f"another run with --executor grid is going on in {ready.folder}",
        )
    assert not (ready.folder / FOLDER / DATABASE_FILE).exists()


@pytest.mark.workflow
def test_what_is_found_when_the_first_job_comes_is_told_in_words(ready: Project) -> None:
    away = ready.folder.with_name("store")
    database = Database(ready.folder / FOLDER / DATABASE_FILE)
    Catalog(database).note_store(away.as_uri(), "")
    database.close()
    finished = ready.run("--grid-store", away.as_uri(), timeout=60)
    says_only(finished, f"store {away.as_uri()}: an earlier run used it, and now it is missing")
    assert not away.exists()
    away.mkdir()
    ready.run("--grid-store", away.as_uri(), timeout=90).succeeded()
    assert ready.read("a.txt") == "made\n"
