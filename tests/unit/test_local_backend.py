"""The local backend and its site, driven directly, with payloads that are shell lines."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, SubmitError, Submitted
from snakemake_executor_plugin_grid.backends.local import LocalBackend
from snakemake_executor_plugin_grid.backends.local import backend as client
from snakemake_executor_plugin_grid.errors import PermanentError, TransientError
from snakemake_executor_plugin_grid.jobspec import JobSpec, Resources
from snakemake_executor_plugin_grid.settings import ExecutorSettings
from snakemake_executor_plugin_grid.states import JobState, JobStatus
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import DELIVERY_FOLDER, Job
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker_archive import write_worker

# Two processes see each other, or give up.
MEET = "touch here-{n}; for i in $(seq 100); do [ -e here-{m} ] && exit 0; sleep 0.1; done; exit 1"
# Alone, or say so.
ALONE = "mkdir lock || echo together >> seen; sleep 0.3; rmdir lock"


class Bench:
    """A backend whose jobs note what they do in a folder outside of their sandboxes."""

    def __init__(self, top: Path, **options: Any) -> None:
        self.top = top
        self.notes = top / "notes"
        self.notes.mkdir(exist_ok=True)
        options = {"local_cold": True, "local_isolation": "off", "local_cores": 4} | options
        self.settings = ExecutorSettings(local_dir=top / "local", **options)
        self.workdir = top / "project"
        self.workdir.mkdir(exist_ok=True)
        self.worker = top / "worker.pyz"
        write_worker(self.worker)
        self.backend = LocalBackend(self.settings, self.workdir)

    def name(self, short: str) -> str:
        """Return a job's name that is unique among all benches: processes are killed by it."""
        # The last part of the folder is not: pytest shortens it, and others may test as well.
        return f"{short}-{hashlib.sha256(os.fsencode(self.top)).hexdigest()[:12]}"

    def payload(self, short: str, command: str, **resources: Any) -> Payload:
        name = self.name(short)
        spec = JobSpec(
            name=name,
            rule="r",
            wildcards=(),
            jobid="1",
            attempt=1,
            command=f"cd {self.notes}; {command}",
            inputs=(),
            shared=frozenset(),
            consumed=frozenset(),
            outputs=(),
            placeholders=(),
            resources=Resources(**resources),
            environment={"SECRET": "s3cret"},
            overrides={},
        )
        job = Job(
            name=name,
            command=spec.command,
            nesting=(),
            blobs=(),
            outputs=(),
            runtime=Runtime("inherit"),
            time_limit=spec.resources.runtime_s,
        )
        return Payload(spec, job.dumps(), (), self.worker)

    async def submit(self, *payloads: Payload) -> list[str]:
        answers = await self.backend.submit(payloads)
        assert all(isinstance(answer, Submitted) for answer in answers), answers
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    async def until(
        self, ids: list[str], condition: Callable[[JobState], bool], seconds: float = 30
    ) -> list[JobStatus]:
        """Poll until all jobs are in a state; return their statuses."""
        end = time.monotonic() + seconds
        while True:
            states = await self.backend.states(ids)
            if len(states) == len(ids) and all(condition(s.state) for s in states.values()):
                return [states[grid_id] for grid_id in ids]
            assert time.monotonic() < end, (states, self.site_log())
            await asyncio.sleep(0.05)

    async def ended(self, ids: list[str], seconds: float = 30) -> list[JobStatus]:
        return await self.until(ids, lambda state: state.ended, seconds)

    async def noted(self, *names: str) -> None:
        """Wait until jobs have made notes."""
        await eventually(lambda: all((self.notes / name).exists() for name in names))

    async def report(self, grid_id: str) -> reports.Report:
        folder = self.top / f"result-{grid_id}"
        folder.mkdir()
        await self.backend.retrieve(grid_id, folder)
        return reports.load(folder / "report.json")

    def site_log(self) -> str:
        log = self.backend.folder / "site.log"
        return log.read_text() if log.exists() else ""

    def seen(self) -> list[str]:
        file = self.notes / "seen"
        return file.read_text().split() if file.exists() else []

    def processes(self, sign: str = "") -> list[int]:
        """Return the processes of the site and its jobs whose command line has a sign in it."""
        own = os.fsencode(self.top)
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes()
                text = line + (entry / "environ").read_bytes()
            except OSError:
                continue
            if own in text and sign.encode() in line:
                found.append(int(entry.name))
        return found

    def kill_site(self, number: int = signal.SIGKILL) -> None:
        (pid,) = self.processes("backends.local.site")
        os.kill(pid, number)

    def warm(self) -> list[int]:
        """Return the warm process: the workers, forked from it, look the same but are leaders."""
        return [
            pid for pid in self.processes(".warm as warm") if parent_of(pid) in self.site_pids()
        ]

    def site_pids(self) -> list[int]:
        return self.processes("backends.local.site")

    def sandbox(self, short: str) -> Path:
        return self.backend.folder / "jobs" / self.name(short)

    def worker_of(self, short: str) -> int:
        return int((self.sandbox(short) / "started").read_text())


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        await asyncio.sleep(0.02)


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    benches: list[Bench] = []

    def make(**options: Any) -> Bench:
        benches.append(Bench(tmp_path, **options))
        return benches[-1]

    yield make
    if benches:
        for pid in benches[-1].processes():
            os.kill(pid, signal.SIGKILL)


def test_a_job_from_submission_to_the_end_of_the_site(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        backend = bench.backend
        await backend.check()
        good, bad = await bench.submit(
            bench.payload("good-1", "echo $SECRET"), bench.payload("bad-1", "echo sorry; exit 4")
        )
        statuses = await bench.ended([good, bad])
        assert [status.state for status in statuses] == [JobState.DONE, JobState.DONE]
        assert (await bench.report(good)).reason == reports.SUCCESS
        assert (await bench.report(bad)).exit_code == 4
        assert await backend.logs(good) == "s3cret\n"
        assert await backend.logs(bad) == "sorry\n"
        assert await backend.find([bench.name("good-1"), "nobody"]) == {bench.name("good-1"): good}
        found = await backend.states([good, "12345"])
        assert found[good].state is JobState.DONE
        assert found["12345"].state is JobState.FAILED
        assert "no trace of it" in found["12345"].detail
        secrets = bench.sandbox("good-1") / "environment.json"
        assert secrets.stat().st_mode & 0o077 == 0
        assert backend.folder.stat().st_mode & 0o077 == 0
        assert "s3cret" not in backend.describe(bench.payload("x", "true"))
        await backend.discard([good, bad])
        assert await backend.find([bench.name("good-1")]) == {}
        assert not list((backend.folder / "jobs").iterdir())
        await backend.close()
        assert not backend.folder.exists()
        await eventually(lambda: not bench.processes())

    asyncio.run(main())


def test_the_same_name_is_submitted_once(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        first = await bench.submit(bench.payload("a-1", "echo ran >> seen"))
        again = await bench.submit(bench.payload("a-1", "echo ran >> seen"))
        assert first == again
        await bench.ended(first)
        assert await bench.submit(bench.payload("a-1", "echo ran >> seen")) == first
        await bench.ended(first)

    asyncio.run(main())
    assert bench.seen() == ["ran"]


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        ({"local_cores": 1}, {"processors": 1}),
        ({"local_cores": 3}, {"processors": 2}),
        ({"local_mem_mb": 1000}, {"memory_mb": 600}),
        ({"local_cores": 2, "local_mem_mb": 10}, {"processors": 10_000, "memory_mb": 10**9}),
    ],
    ids=["one core", "two of three cores", "memory", "more than there is"],
)
def test_jobs_that_do_not_fit_together_wait_for_each_other(
    make_bench: MakeBench, options: dict[str, int], resources: dict[str, int]
) -> None:
    bench = make_bench(**options)

    async def main() -> None:
        ids = await bench.submit(*(bench.payload(f"a-{n}", ALONE, **resources) for n in range(3)))
        await bench.ended(ids)
        assert [(await bench.report(grid_id)).reason for grid_id in ids] == [reports.SUCCESS] * 3

    asyncio.run(main())
    assert bench.seen() == []


@pytest.mark.parametrize(
    ("options", "resources"),
    [({"local_cores": 2}, {}), ({"local_mem_mb": 1000}, {"memory_mb": 500})],
    ids=["cores", "memory"],
)
def test_jobs_that_fit_run_together(
    make_bench: MakeBench, options: dict[str, int], resources: dict[str, int]
) -> None:
    bench = make_bench(**options)

    async def main() -> None:
        ids = await bench.submit(
            bench.payload("a-1", MEET.format(n=1, m=2), **resources),
            bench.payload("a-2", MEET.format(n=2, m=1), **resources),
        )
        await bench.ended(ids)
        assert [(await bench.report(grid_id)).exit_code for grid_id in ids] == [0, 0]

    asyncio.run(main())


def test_the_machine_is_what_jobs_get_by_default(make_bench: MakeBench) -> None:
    config = make_bench(local_cores=None).backend.config
    assert config.cores == len(os.sched_getaffinity(0))
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert config.mem_mb == pages // 10**6


def test_a_job_past_its_runtime_is_ended(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "sleep 300", runtime_s=0.5))
        await bench.ended(ids, 10)
        assert (await bench.report(ids[0])).reason == reports.TIME_LIMIT

    asyncio.run(main())


def test_a_worker_killed_takes_its_payload_with_it_and_no_other(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        victim, other = await bench.submit(
            bench.payload("a-1", "setsid sleep 300 & echo > up; wait"),
            bench.payload("a-2", "while [ ! -e go ]; do sleep 0.1; done; echo ran >> seen"),
        )
        await bench.noted("up")
        os.kill(bench.worker_of("a-1"), signal.SIGKILL)
        (status,) = await bench.ended([victim])
        assert status.state is JobState.FAILED
        assert "died without a report" in status.detail
        await eventually(lambda: not bench.processes("sleep\x00300"), 5)
        (bench.notes / "go").touch()
        (status,) = await bench.ended([other])
        assert status.state is JobState.DONE

    asyncio.run(main())
    assert bench.seen() == ["ran"]


def test_a_killed_site_loses_no_job_and_runs_none_twice(make_bench: MakeBench) -> None:
    bench = make_bench(local_cores=2)

    async def main() -> None:
        wait = "while [ ! -e go ]; do sleep 0.1; done"
        ids = await bench.submit(
            *(bench.payload(f"a-{n}", f"echo {n} >> seen; touch up-{n}; {wait}") for n in range(4))
        )
        await bench.noted("up-0", "up-1")
        bench.kill_site()
        states = await bench.backend.states(ids)
        assert [states[grid_id].state.value for grid_id in ids] == ["running"] * 2 + ["queued"] * 2
        (bench.notes / "go").touch()
        statuses = await bench.ended(ids)
        assert [status.state for status in statuses] == [JobState.DONE] * 4
        assert [(await bench.report(grid_id)).reason for grid_id in ids] == [reports.SUCCESS] * 4

    asyncio.run(main())
    assert sorted(bench.seen()) == ["0", "1", "2", "3"]


def test_jobs_that_ended_without_a_site_are_found_ended(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        good, bad = await bench.submit(
            bench.payload("a-1", "touch up; while [ ! -e go ]; do sleep 0.1; done; touch made"),
            bench.payload("a-2", "touch up-2; sleep 300"),
        )
        await bench.noted("up", "up-2")
        bench.kill_site()
        os.kill(bench.worker_of("a-2"), signal.SIGKILL)
        (bench.notes / "go").touch()
        await bench.noted("made")
        await eventually(lambda: (bench.sandbox("a-1") / "report.json").exists())
        statuses = await bench.ended([good, bad])
        assert [status.state for status in statuses] == [JobState.DONE, JobState.FAILED]

    asyncio.run(main())


def test_jobs_outlive_their_controller_and_are_found_by_the_next(make_bench: MakeBench) -> None:
    bench = make_bench()
    command = "touch up; while [ ! -e go ]; do sleep 0.1; done; echo ran >> seen"

    async def first() -> list[str]:
        ids = await bench.submit(bench.payload("a-1", command))
        await bench.noted("up")
        await bench.backend.close()
        assert bench.backend.folder.exists()
        return ids

    async def second(ids: list[str]) -> None:
        await bench.backend.check()
        assert await bench.backend.find([bench.name("a-1")]) == {bench.name("a-1"): ids[0]}
        (bench.notes / "go").touch()
        await bench.ended(ids)
        assert (await bench.report(ids[0])).reason == reports.SUCCESS
        await bench.backend.discard(ids)
        await bench.backend.close()
        assert not bench.backend.folder.exists()

    ids = asyncio.run(first())
    bench = make_bench()
    asyncio.run(second(ids))
    assert bench.seen() == ["ran"]


def test_what_jobs_made_outlives_the_site_until_it_is_discarded(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def first() -> list[str]:
        ids = await bench.submit(bench.payload("a-1", "echo ran >> seen"))
        await bench.ended(ids)
        await bench.backend.close()
        await eventually(lambda: not bench.site_pids())
        assert bench.backend.folder.exists()
        return ids

    async def second(ids: list[str]) -> None:
        await bench.backend.check()
        assert await bench.backend.find([bench.name("a-1")]) == {bench.name("a-1"): ids[0]}
        (status,) = await bench.ended(ids)
        assert status.state is JobState.DONE
        for number in range(2):  # a run may die after it has fetched them
            folder = bench.top / f"result-{number}"
            folder.mkdir()
            await bench.backend.retrieve(ids[0], folder)
            assert reports.load(folder / "report.json").reason == reports.SUCCESS
        await bench.backend.discard(ids)
        await bench.backend.close()
        await eventually(lambda: not bench.backend.folder.exists())

    ids = asyncio.run(first())
    bench = make_bench()
    asyncio.run(second(ids))
    assert bench.seen() == ["ran"]


def test_what_was_delivered_beside_the_report_can_be_fetched_twice(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        await bench.ended(ids)
        delivered = bench.sandbox("a-1") / DELIVERY_FOLDER
        delivered.mkdir(exist_ok=True)
        (delivered / "blob").write_text("made")
        for number in range(2):
            folder = bench.top / f"result-{number}"
            folder.mkdir()
            await bench.backend.retrieve(ids[0], folder)
            assert (folder / DELIVERY_FOLDER / "blob").read_text() == "made"
        await bench.backend.discard(ids)
        await bench.backend.close()

    asyncio.run(main())


HOST = socket.gethostname()


def test_the_site_that_has_jobs_of_the_workflow_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "one"))
    settings = ExecutorSettings()
    first = LocalBackend(settings, tmp_path)
    assert first.folder.parent == tmp_path / "one"
    assert first.place == f"{HOST}:{first.folder}"
    first.folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "two"))
    other = LocalBackend(settings, tmp_path)
    assert other.folder.parent == tmp_path / "two"
    assert LocalBackend(settings, tmp_path, place="").folder == other.folder
    again = LocalBackend(settings, tmp_path, place=first.place)
    assert (again.folder, again.place) == (first.folder, first.place)
    assert again.store_folder == first.store_folder
    first.folder.rmdir()  # with all its jobs
    assert LocalBackend(settings, tmp_path, place=first.place).folder == other.folder


def test_neither_the_site_of_another_host_nor_another_than_the_chosen_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "two"))
    there = tmp_path / "one" / "site"
    there.mkdir(parents=True)
    own = LocalBackend(ExecutorSettings(), tmp_path).folder
    for place in (f"other-{HOST}:{there}", f":{there}", f"{HOST}:{there}/none"):
        assert LocalBackend(ExecutorSettings(), tmp_path, place=place).folder == own
    chosen = ExecutorSettings(local_dir=tmp_path / "chosen")
    folder = LocalBackend(chosen, tmp_path, place=f"{HOST}:{there}").folder
    assert folder.parent == tmp_path / "chosen"


def test_a_guest_does_not_end_the_site(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        await bench.ended(ids)
        guest = LocalBackend(bench.settings, bench.workdir, guest=True)
        assert (await guest.states(ids))[ids[0]].state is JobState.DONE
        (pid,) = bench.site_pids()
        await guest.close()
        await asyncio.sleep(0.3)
        assert bench.site_pids() == [pid]
        await bench.backend.discard(ids)
        await bench.backend.close()
        await eventually(lambda: not bench.site_pids())

    asyncio.run(main())


def test_a_site_with_other_options_gives_way(make_bench: MakeBench) -> None:
    bench = make_bench(local_cores=1)

    async def first() -> None:
        await bench.ended(await bench.submit(bench.payload("a-1", "true")))

    async def second() -> None:
        began = time.monotonic()
        await bench.backend.check()
        ids = await bench.submit(
            bench.payload("b-1", MEET.format(n=1, m=2)), bench.payload("b-2", MEET.format(n=2, m=1))
        )
        assert time.monotonic() - began < 5
        await bench.ended(ids)
        assert [(await bench.report(grid_id)).exit_code for grid_id in ids] == [0, 0]

    asyncio.run(first())
    bench = make_bench(local_cores=2)
    asyncio.run(second())


def test_cancelling_ends_running_and_queued_jobs(make_bench: MakeBench) -> None:
    bench = make_bench(local_cores=1)

    async def main() -> None:
        ids = await bench.submit(
            bench.payload("a-1", "touch up; setsid sleep 300 & wait"),
            bench.payload("a-2", "echo ran >> seen"),
        )
        await bench.noted("up")
        assert await bench.backend.cancel(ids) == set()
        statuses = await bench.ended(ids, 1)
        assert [status.state for status in statuses] == [JobState.CANCELLED] * 2
        assert not bench.processes("sleep\x00300")
        ids = await bench.submit(bench.payload("a-3", "echo next >> seen"))
        await bench.ended(ids)

    asyncio.run(main())
    assert bench.seen() == ["next"]


def test_what_is_not_confirmed_to_be_cancelled_is_named(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    monkeypatch.setattr(client, "_CANCEL_TIMEOUT", 0.5)

    async def main() -> None:
        deaf, good = await bench.submit(
            bench.payload("a-1", "trap '' TERM; touch up; while :; do sleep 0.1; done"),
            bench.payload("a-2", "touch up-2; sleep 300"),
        )
        await bench.noted("up", "up-2")
        assert await bench.backend.cancel([deaf, good]) == {deaf}
        (status,) = await bench.ended([deaf])  # a little later
        assert status.state is JobState.CANCELLED

    asyncio.run(main())


@pytest.mark.slow
def test_a_worker_that_hangs_is_cancelled_all_the_same(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "touch up; sleep 300"))
        await bench.noted("up")
        os.kill(bench.worker_of("a-1"), signal.SIGSTOP)
        assert await bench.backend.cancel(ids) == set()
        await eventually(lambda: not bench.processes("sleep\x00300"), 5)

    asyncio.run(main())


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_worker_that_never_starts_fails_in_time(make_bench: MakeBench, tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/bin/sh\nsleep 300 &\nwait\n")
    bench = make_bench(local_python=python, start_limit=1)

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.FAILED
        assert status.detail == "the worker did not start within 1 s"
        await eventually(lambda: not bench.processes("sleep\x00300"), 5)

    asyncio.run(main())


def test_a_python_that_is_none_fails_with_its_words(make_bench: MakeBench, tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/bin/sh\necho I am no Python >&2; exit 7\n")
    bench = make_bench(local_python=python)

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.FAILED
        assert await bench.backend.logs(ids[0]) == "I am no Python\n"

    asyncio.run(main())


def test_a_python_that_cannot_be_run_fails_the_job(make_bench: MakeBench, tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/nowhere/interpreter\n")
    bench = make_bench(local_python=python)

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.FAILED
        assert "could not be started" in status.detail
        assert str(python) in status.detail

    asyncio.run(main())


def test_a_site_that_hangs_is_an_outage(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        await bench.ended(ids)
        monkeypatch.setitem(LocalBackend._call.__kwdefaults__, "wait", 0.5)
        bench.kill_site(signal.SIGSTOP)
        with pytest.raises(TransientError, match="does not answer"):
            await bench.backend.states(ids)
        bench.kill_site(signal.SIGCONT)
        assert (await bench.backend.states(ids))[ids[0]].state is JobState.DONE

    asyncio.run(main())


def test_a_site_that_cannot_start_says_why(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        await bench.backend.check()
        (bench.backend.folder / "site.sqlite").write_text("no database")
        with pytest.raises(PermanentError, match=r"does not start: .*not a database"):
            await bench.backend.find(["a"])

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 10


def test_a_request_that_fails_is_answered(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        await bench.ended(await bench.submit(bench.payload("a-1", "true")))
        with pytest.raises(PermanentError, match="asked to discard: TypeError"):
            await bench.backend._call("discard", ids=3)
        with pytest.raises(PermanentError, match="no such call: sing"):
            await bench.backend._call("sing")

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["a file", "a link", "open to all", "no room for it"])
def test_a_folder_that_will_not_do_is_refused(
    make_bench: MakeBench, tmp_path: Path, fault: str
) -> None:
    bench = make_bench()
    folder = bench.backend.folder
    if fault == "no room for it":
        (tmp_path / "local").write_text("")
    else:
        folder.parent.mkdir()
    if fault == "a file":
        folder.write_text("")
    elif fault == "a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif fault == "open to all":
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(PermanentError, match="--grid-local-dir"):
        asyncio.run(bench.backend.check())


def test_isolation_that_cannot_be_had_is_an_error_when_required(make_bench: MakeBench) -> None:
    bench = make_bench(local_isolation="require")
    # The folder that would be hidden holds the Python itself.
    bench.backend = LocalBackend(bench.settings, Path(sys.executable).absolute().parents[1])
    with pytest.raises(PermanentError, match="--grid-local-isolation require"):
        _ = bench.backend.config
    bench = make_bench(local_isolation="auto")
    bench.backend = LocalBackend(bench.settings, Path(sys.executable).absolute().parents[1])
    assert bench.backend.config.hidden == ""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "local"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs to mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 16, 1):
            try:
                while filler.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


def test_a_full_disk_refuses_new_jobs_and_ends_running_ones(
    make_bench: MakeBench, small_disk: Path
) -> None:
    bench = make_bench()

    async def main() -> None:
        running = await bench.submit(
            *(
                bench.payload(f"a-{n}", f"touch up-{n}; while [ ! -e go ]; do sleep 0.1; done")
                for n in range(3)
            )
        )
        await bench.noted("up-0", "up-1", "up-2")
        fill(small_disk)
        (answer,) = await bench.backend.submit([bench.payload("b-1", "true")])
        assert isinstance(answer, SubmitError)
        assert "No space left" in answer.message or "full" in answer.message
        (bench.notes / "go").touch()
        await bench.ended(running, 15)
        shutil.rmtree(bench.sandbox("a-0"))
        (small_disk / "filler").unlink()
        ids = await bench.submit(bench.payload("b-2", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.DONE

    asyncio.run(main())


# The warm process


def test_warm_workers_survive_what_happens_to_the_warm_process(make_bench: MakeBench) -> None:
    bench = make_bench(local_cold=False)

    async def main() -> None:
        running = await bench.submit(
            bench.payload("a-0", "touch up; while [ ! -e go ]; do sleep 0.1; done")
        )
        await bench.noted("up")
        for n in range(1, 5):
            for pid in bench.warm():
                os.kill(pid, signal.SIGKILL)
            ids = await bench.submit(bench.payload(f"a-{n}", f"echo {n} >> seen"))
            (status,) = await bench.ended(ids)
            assert status.state is JobState.DONE
        assert "does not stay alive" in bench.site_log()
        assert not bench.warm()
        (bench.notes / "go").touch()
        (status,) = await bench.ended(running)
        assert status.state is JobState.DONE

    asyncio.run(main())
    assert bench.seen() == ["1", "2", "3", "4"]


def test_a_warm_process_that_hangs_is_replaced_in_time(make_bench: MakeBench) -> None:
    bench = make_bench(local_cold=False, start_limit=10)

    async def main() -> None:
        await bench.ended(await bench.submit(bench.payload("a-0", "true")))
        (pid,) = bench.warm()
        os.kill(pid, signal.SIGSTOP)
        ids = await bench.submit(bench.payload("a-1", "echo ran >> seen"))
        (status,) = await bench.ended(ids, 30)
        assert status.state is JobState.DONE
        assert pid not in bench.processes()

    asyncio.run(main())
    assert bench.seen() == ["ran"]


def test_a_job_is_cancelled_while_its_worker_is_being_started(make_bench: MakeBench) -> None:
    bench = make_bench(local_cold=False)

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "echo ran >> seen; sleep 300"))
        began = time.monotonic()
        assert await bench.backend.cancel(ids) == set()
        assert time.monotonic() - began < 15
        await bench.backend.close()
        await eventually(lambda: not bench.processes())

    asyncio.run(main())


def test_a_site_killed_while_it_starts_a_worker_runs_the_job_once(make_bench: MakeBench) -> None:
    bench = make_bench(local_cold=False)

    async def main() -> None:
        ids = await bench.submit(
            *(bench.payload(f"a-{n}", f"echo {n} >> seen; sleep 1") for n in range(3))
        )
        await bench.until(ids, lambda state: state is JobState.RUNNING)
        # The warm process is importing, and the first request waits in its pipe.
        (old,) = bench.warm()
        bench.kill_site()
        statuses = await bench.ended(ids)
        assert [status.state for status in statuses] == [JobState.DONE] * 3
        await eventually(lambda: not Path(f"/proc/{old}").exists())
        await asyncio.sleep(0.5)

    asyncio.run(main())
    assert sorted(bench.seen()) == ["0", "1", "2"]


def test_states_on_disk_are_those_in_memory(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"), bench.payload("a-2", "exit 1"))
        await bench.ended(ids)
        with sqlite3.connect(bench.backend.folder / "site.sqlite") as database:
            rows = database.execute("SELECT name, state FROM jobs ORDER BY number").fetchall()
        assert rows == [(bench.name("a-1"), "done"), (bench.name("a-2"), "done")]

    asyncio.run(main())
