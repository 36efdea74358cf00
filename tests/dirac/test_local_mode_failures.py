"""DIRAC's local mode: failures of the client, its Python and its folders, and killed processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Rejected
from snakemake_executor_plugin_grid.backends.dirac import local_mode
from snakemake_executor_plugin_grid.backends.dirac.local_mode import LocalModeBackend
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.worker import report as reports

from .local_mode_bench import Bench, bench, processes, run

__all__ = ["bench"]


def test_failed_job_reports_its_reason(bench: Bench) -> None:
    async def steps() -> None:
        (grid_id,) = await bench.submit(bench.payload("fails", "echo so it goes; exit 3"))
        (status,) = await bench.wait_for_end([grid_id])
        assert status.state is JobState.FAILED
        assert "non-zero status" in status.detail
        assert not status.infrastructure
        report, folder = await bench.results(grid_id)
        assert (report.reason, report.exit_code) == (reports.PAYLOAD_FAILED, 3)
        assert "so it goes" in (folder / "payload.log").read_text()

    run(steps)


def test_unreachable_server_and_surrounding_job_have_no_effect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.top / "dirac.cfg").write_text(
        "DIRAC\n{\n  Setup = Test\n  Configuration\n  {\n    Servers = dips://127.0.0.1:1/Configuration/Server\n"
        "  }\n}\n"
    )
    monkeypatch.setenv("DIRACSYSCONFIG", str(bench.top / "dirac.cfg"))
    monkeypatch.setenv("X509_USER_PROXY", str(bench.top / "none"))
    monkeypatch.setenv("JOBID", "4711")

    async def steps() -> None:
        await bench.backend.check()
        (grid_id,) = await bench.submit(bench.payload("alone", "true"))
        (status,) = await bench.wait_for_end([grid_id])
        logs = await bench.backend.logs(grid_id)
        assert status.state is JobState.DONE, logs
        assert "127.0.0.1:1" in logs  # it did try
        report, _ = await bench.results(grid_id)
        assert report.wms_id == ""

    run(steps)


def test_cancel_ends_all_processes(bench: Bench) -> None:
    async def steps() -> None:
        running = bench.payload("long", "touch begun; sleep 300", processors=2)
        ids = await bench.submit(running, bench.payload("waits", "touch never"))
        await bench.wait_for_note("begun")
        assert processes(ids[0])
        assert await bench.backend.cancel(ids) == set()
        assert not processes(ids[0])
        statuses = await bench.wait_for_end(ids, 5)
        assert [status.state for status in statuses] == [JobState.CANCELLED] * 2
        assert not (bench.notes / "never").exists()
        (after,) = await bench.submit(bench.payload("after", "true", processors=2))
        (status,) = await bench.wait_for_end([after])
        assert status.state is JobState.DONE

    run(steps)


def test_jobs_end_with_the_process_that_submitted_them(bench: Bench) -> None:
    program = f"""
import asyncio, os, time
from pathlib import Path
from tests.dirac.local_mode_bench import Bench

async def main():
    bench = Bench(Path({str(bench.top)!r}))
    await bench.submit(bench.payload("orphan", "touch begun; sleep 300"))
    await bench.wait_for_note("begun")
    os._exit(7)

asyncio.run(main())
"""
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "TMPDIR": str(bench.top)
    }  # pytest removes this folder, with what the job leaves behind
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, timeout=90, check=False
    )
    assert done.returncode == 7
    end = time.monotonic() + 20
    while processes(f"orphan-{bench.top.name}"):
        assert time.monotonic() < end
        time.sleep(0.2)


def test_error_names_a_python_without_dirac(tmp_path: Path) -> None:
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


def test_job_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_mode, "_KILL_AFTER", 0.3)
    bench = Bench(
        tmp_path,
        program=script(tmp_path, f"trap '' TERM; touch {tmp_path}/notes/begun; sleep 60; sleep 60"),
    )

    async def steps() -> None:
        ids = await bench.submit(bench.payload("stubborn", "true"))
        await bench.wait_for_note("begun")
        assert await bench.backend.cancel(ids) == set()
        (status,) = await bench.wait_for_end(ids, 5)
        assert status.state is JobState.CANCELLED
        await bench.backend.close()

    run(steps)
    assert not processes(f"stubborn-{tmp_path.name}")


def test_status_quotes_the_output_of_a_crashed_client(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program=script(tmp_path, "echo Segmentation whatever >&2; exit 9"))

    async def steps() -> None:
        ids = await bench.submit(bench.payload("broken", "true"))
        (status,) = await bench.wait_for_end(ids, 10)
        assert status.state is JobState.FAILED
        assert status.detail == ("DIRAC's local mode ended with exit code 9: Segmentation whatever")
        await bench.backend.retrieve(ids[0], tmp_path)
        assert (tmp_path / "payload.log").read_text() == "Segmentation whatever\n"
        await bench.backend.close()

    run(steps)


def test_client_that_cannot_be_started_fails_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, program=tmp_path / "absent")

    async def steps() -> None:
        payloads = [bench.payload(f"n{n}", "true", processors=2) for n in range(2)]
        statuses = await bench.wait_for_end(await bench.submit(*payloads), 5)
        assert [status.state for status in statuses] == [JobState.FAILED] * 2
        assert "cannot be started" in statuses[0].detail
        await bench.backend.close()

    run(steps)


def test_folder_that_cannot_be_written_rejects_the_job(bench: Bench) -> None:
    async def steps() -> None:
        await bench.submit(bench.payload("first", "true"))
        payload = bench.payload("second", "true")
        folder = bench.backend._folder
        assert folder is not None
        (folder / payload.spec.name).touch()  # a file is in the way
        (answer,) = await bench.backend.submit([payload])
        assert isinstance(answer, Rejected)
        assert "choose another place by TMPDIR" in answer.message
        assert await bench.backend.find([payload.spec.name]) == {}

    run(steps)
