"""Jobs in DIRAC's local mode: the real client, no server, no certificate, no configuration."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, SubmitError, Submitted
from snakemake_executor_plugin_grid.backends.dirac import local_mode as localmode
from snakemake_executor_plugin_grid.backends.dirac.local_mode import LocalModeBackend
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob, Job, Output
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.backends.dirac.dirac_parser import python
from tests.unit.specs import spec

SECRET = "never to be seen in a log"


class Bench:
    """A backend, and payloads that are shell lines."""

    def __init__(self, top: Path, cores: int = 2, program: Path | None = None) -> None:
        self.top = top
        self.notes = top / "notes"
        self.spool = top / "spool"
        self.worker = top / "worker.pyz"
        for folder in (self.notes, self.spool):
            folder.mkdir(exist_ok=True)
        write_worker(self.worker)
        self.backend = LocalModeBackend(self.spool, python=program or python(), cores=cores)

    def payload(
        self,
        short: str,
        command: str,
        *,
        blobs: tuple[Blob, ...] = (),
        outputs: tuple[str, ...] = (),
        deliver: str = "",
        processors: int = 1,
    ) -> Payload:
        name = f"{short}-{self.top.name}"
        job = Job(
            name=name,
            command=f"cd {self.notes}; {command}" if not outputs else command,
            nesting=(),
            blobs=blobs,
            outputs=tuple(Output(f"work/{output}") for output in outputs),
            runtime=Runtime("inherit"),
            deliver=deliver,
        )
        made = spec(
            name,
            command=command,
            resources=Resources(processors=processors),
            environment={"PASSWORD": SECRET},
        )
        return Payload(made, job.dumps(), blobs, self.worker)

    def spooled(self, name: str, content: bytes) -> Blob:
        """Put a file where the backend looks for blobs without a URL."""
        digest = hashlib.sha256(content).hexdigest()
        (self.spool / digest).write_bytes(content)
        return Blob(digest, len(content), kind="raw", name=f"work/{name}")

    async def submit(self, *payloads: Payload) -> list[str]:
        answers = await self.backend.submit(payloads)
        assert all(isinstance(answer, Submitted) for answer in answers), answers
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    async def ended(self, ids: list[str], seconds: float = 90) -> list[JobStatus]:
        end = time.monotonic() + seconds
        while True:
            states = await self.backend.states(ids)
            if all(states[grid_id].state.ended for grid_id in ids):
                return [states[grid_id] for grid_id in ids]
            assert time.monotonic() < end, states
            await asyncio.sleep(0.1)

    async def noted(self, name: str) -> None:
        """Wait until a job has made a note."""
        end = time.monotonic() + 60
        while not (self.notes / name).exists():
            await self.backend.states([])
            assert time.monotonic() < end, f"no {name}"
            await asyncio.sleep(0.1)

    async def results(self, grid_id: str) -> tuple[reports.Report, Path]:
        folder = self.top / f"results-{grid_id}"
        folder.mkdir()
        await self.backend.retrieve(grid_id, folder)
        return reports.load(folder / "report.json"), folder


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    asyncio.run(made.backend.close())


def run(steps: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await steps()

    asyncio.run(main())


def processes(sign: str) -> list[int]:
    """Return the processes whose command line or environment has a sign in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if sign.encode() in text:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("deliver", ["", "sandbox:"])
def test_a_job_runs_and_its_results_come_back(bench: Bench, deliver: str) -> None:
    async def steps() -> None:
        await bench.backend.check()
        payload = bench.payload(
            "upper",
            'tr a-z A-Z < in.txt > out.txt; echo "$PASSWORD" | wc -c; echo payload-said-this; '
            '"$GRID_PYTHON" -c "import snakemake"',
            blobs=(bench.spooled("in.txt", b"some words\n"),),
            outputs=("out.txt",),
            deliver=deliver,
        )
        (grid_id,) = await bench.submit(payload)
        (status,) = await bench.ended([grid_id])
        logs = await bench.backend.logs(grid_id)
        assert status.state is JobState.DONE, logs
        report, folder = await bench.results(grid_id)
        assert report.reason == reports.SUCCESS
        (returned,) = report.returned
        assert returned.member.name == "work/out.txt"
        packed = folder / "out" / returned.blob
        assert hashlib.sha256(packed.read_bytes()).hexdigest() == returned.blob
        assert b"SOME WORDS" in packed.read_bytes()
        assert f"{len(SECRET) + 1}\n" in (folder / "payload.log").read_text()
        assert "payload-said-this" in logs
        assert "Executing workflow locally" in logs  # DIRAC's own words
        assert SECRET not in logs

    run(steps)


def test_a_tarball_of_inputs_is_left_to_the_worker(bench: Bench) -> None:
    with tarfile.open(bench.top / "t.tar", "w") as archive:
        archive.add(bench.notes, "notes")
    blob = bench.spooled("inner.tar", (bench.top / "t.tar").read_bytes())

    async def steps() -> None:
        payload = bench.payload(
            "tarball", "tar tf inner.tar > list.txt", blobs=(blob,), outputs=("list.txt",)
        )
        ids = await bench.submit(payload)
        (status,) = await bench.ended(ids)
        assert status.state is JobState.DONE, await bench.backend.logs(ids[0])
        folder = bench.backend._folder
        assert folder is not None
        assert not list(folder.glob("*/Local_*_JobDir/notes"))

    run(steps)


def test_a_failing_job_reports_why(bench: Bench) -> None:
    async def steps() -> None:
        (grid_id,) = await bench.submit(bench.payload("fails", "echo so it goes; exit 3"))
        (status,) = await bench.ended([grid_id])
        assert status.state is JobState.FAILED
        assert "non-zero status" in status.detail
        assert not status.infrastructure
        report, folder = await bench.results(grid_id)
        assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, 3)
        assert "so it goes" in (folder / "payload.log").read_text()

    run(steps)


def test_a_server_that_is_down_and_the_job_around_do_not_matter(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.top / "dirac.cfg").write_text(
        "DIRAC\n{\n  Configuration\n  {\n    Servers = dips://127.0.0.1:1/Configuration/Server\n"
        "  }\n}\n"
    )
    monkeypatch.setenv("DIRACSYSCONFIG", str(bench.top / "dirac.cfg"))
    monkeypatch.setenv("X509_USER_PROXY", str(bench.top / "none"))
    monkeypatch.setenv("JOBID", "4711")

    async def steps() -> None:
        await bench.backend.check()
        (grid_id,) = await bench.submit(bench.payload("alone", "true"))
        (status,) = await bench.ended([grid_id])
        logs = await bench.backend.logs(grid_id)
        assert status.state is JobState.DONE, logs
        assert "127.0.0.1:1" in logs  # it did try
        report, _ = await bench.results(grid_id)
        assert report.wms_id == ""

    run(steps)


def test_processors_limit_what_runs_at_a_time(bench: Bench) -> None:
    alone = "mkdir lock || echo together >> seen; sleep 0.5; rmdir lock; echo ran >> seen"

    async def steps() -> None:
        payloads = [bench.payload(f"alone{n}", alone, processors=2) for n in range(3)]
        payloads.append(bench.payload("huge", alone, processors=64))
        ids = await bench.submit(*payloads)
        states = await bench.backend.states(ids)
        assert [states[grid_id].state for grid_id in ids] == [
            JobState.RUNNING,
            *[JobState.QUEUED] * 3,
        ]
        statuses = await bench.ended(ids)
        assert [status.state for status in statuses] == [JobState.DONE] * 4
        assert (bench.notes / "seen").read_text().split() == ["ran"] * 4

    run(steps)


def test_cancel_ends_all_processes(bench: Bench) -> None:
    async def steps() -> None:
        running = bench.payload("long", "touch begun; sleep 300", processors=2)
        ids = await bench.submit(running, bench.payload("waits", "touch never"))
        await bench.noted("begun")
        assert processes(ids[0])
        assert await bench.backend.cancel(ids) == set()
        assert not processes(ids[0])
        statuses = await bench.ended(ids, 5)
        assert [status.state for status in statuses] == [JobState.CANCELLED] * 2
        assert not (bench.notes / "never").exists()
        (after,) = await bench.submit(bench.payload("after", "true", processors=2))
        (status,) = await bench.ended([after])
        assert status.state is JobState.DONE

    run(steps)


def test_jobs_of_another_run_are_unknown(bench: Bench) -> None:
    async def steps() -> None:
        payload = bench.payload("mine", "echo ran >> seen")
        (mine,) = await bench.submit(payload)
        assert await bench.submit(payload) == [mine]  # not again
        assert set(await bench.backend.states([mine, "theirs"])) == {mine}
        assert await bench.backend.find([payload.spec.name, "theirs"]) == {payload.spec.name: mine}
        assert await bench.backend.cancel(["theirs"]) == set()
        with pytest.raises(PermanentError, match="no job theirs"):
            await bench.backend.logs("theirs")
        await bench.ended([mine])
        await bench.backend.discard([mine])
        assert await bench.backend.states([mine]) == {}
        assert (bench.notes / "seen").read_text() == "ran\n"

    run(steps)


def test_files_with_secrets_are_for_the_owner_and_nothing_stays(bench: Bench) -> None:
    async def steps() -> None:
        await bench.submit(bench.payload("a", "true"))
        folder = bench.backend._folder
        assert folder is not None
        (jobs,) = folder.glob("*/jobs.json")
        assert jobs.stat().st_mode & 0o777 == 0o600
        assert jobs.parent.stat().st_mode & 0o777 == 0o700
        await bench.backend.close()
        assert not folder.exists()

    run(steps)


def test_what_dirac_is_told_can_be_read(bench: Bench) -> None:
    payload = bench.payload("told", "true")
    text = bench.backend.describe(payload)
    assert f'Arguments = "{payload.spec.name}";' in text
    assert "jobs.json" in text
    assert SECRET not in text


def test_jobs_end_with_the_process_that_submitted_them(bench: Bench) -> None:
    program = f"""
import asyncio, os, time
from pathlib import Path
from tests.dirac.test_local_mode import Bench

async def main():
    bench = Bench(Path({str(bench.top)!r}))
    await bench.submit(bench.payload("orphan", "touch begun; sleep 300"))
    await bench.noted("begun")
    os._exit(7)

asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    environment = os.environ | {"TMPDIR": str(bench.top)}  # what it leaves behind goes with that
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, timeout=90, check=False
    )
    assert done.returncode == 7
    end = time.monotonic() + 20
    while processes(f"orphan-{bench.top.name}"):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_python_without_dirac_is_named(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho ModuleNotFoundError: DIRAC >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o700)
    for name, said in (("python", "ModuleNotFoundError"), ("absent", "cannot be run")):
        backend = LocalModeBackend(tmp_path, python=tmp_path / name)
        with pytest.raises(PermanentError, match=f"{said}.*--grid-dirac-python"):
            asyncio.run(backend.check())


def script(folder: Path, text: str) -> Path:
    """Write a program that stands in for a Python with DIRAC."""
    program = folder / "stand-in"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o700)
    return program


def test_what_does_not_heed_a_word_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localmode, "_KILL_AFTER", 0.3)
    bench = Bench(
        tmp_path,
        program=script(tmp_path, f"trap '' TERM; touch {tmp_path}/notes/begun; sleep 60; sleep 60"),
    )

    async def steps() -> None:
        ids = await bench.submit(bench.payload("stubborn", "true"))
        await bench.noted("begun")
        assert await bench.backend.cancel(ids) == set()
        (status,) = await bench.ended(ids, 5)
        assert status.state is JobState.CANCELLED
        await bench.backend.close()

    run(steps)
    assert not processes(f"stubborn-{tmp_path.name}")


def test_a_client_that_breaks_down_is_quoted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program=script(tmp_path, "echo Segmentation whatever >&2; exit 9"))

    async def steps() -> None:
        ids = await bench.submit(bench.payload("broken", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.FAILED
        assert status.detail == ("DIRAC's local mode ended with exit code 9: Segmentation whatever")
        await bench.backend.retrieve(ids[0], tmp_path)
        assert (tmp_path / "payload.log").read_text() == "Segmentation whatever\n"
        await bench.backend.close()

    run(steps)


def test_a_client_that_cannot_be_started_fails_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program=tmp_path / "absent")

    async def steps() -> None:
        payloads = [bench.payload(f"n{n}", "true", processors=2) for n in range(2)]
        statuses = await bench.ended(await bench.submit(*payloads), 5)
        assert [status.state for status in statuses] == [JobState.FAILED] * 2
        assert "cannot be started" in statuses[0].detail
        await bench.backend.close()

    run(steps)


def test_a_folder_that_cannot_be_written_refuses_the_job(bench: Bench) -> None:
    async def steps() -> None:
        await bench.submit(bench.payload("first", "true"))
        payload = bench.payload("second", "true")
        folder = bench.backend._folder
        assert folder is not None
        (folder / payload.spec.name).touch()  # a file is in the way
        (answer,) = await bench.backend.submit([payload])
        assert isinstance(answer, SubmitError)
        assert "choose another place by TMPDIR" in answer.message
        assert await bench.backend.find([payload.spec.name]) == {}

    run(steps)
