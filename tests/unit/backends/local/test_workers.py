"""Workers of the local backend that do not start, hang or die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.local import warm_process
from snakemake_executor_plugin_grid.backends.local.config import Config
from snakemake_executor_plugin_grid.backends.local.server import LocalServer
from snakemake_executor_plugin_grid.backends.local.warm_process import process_id
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.description import STARTED_FILE
from tests.unit.backends.local.local_bench import UNTIL_GO, Bench, MakeBench, eventually


async def failed(bench: Bench) -> tuple[str, JobStatus]:
    """Submit a job, and return its id and how it failed."""
    (grid_id,) = await bench.submit(bench.payload("a-1", "true"))
    (status,) = await bench.ended([grid_id], 10)
    assert status.state is JobState.FAILED
    return grid_id, status


def test_a_worker_killed_takes_its_payload_with_it_and_no_other(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        victim, other = await bench.submit(
            bench.payload("a-1", "setsid sleep 300 & echo > up; wait"),
            bench.payload("a-2", f"{UNTIL_GO}; echo ran >> seen"),
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
        _, status = await failed(bench)
        assert status.detail == "the worker did not start within 1 s"
        await eventually(lambda: not bench.processes("sleep\x00300"), 5)

    asyncio.run(main())


def test_a_python_that_is_none_fails_with_its_words(make_bench: MakeBench, tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/bin/sh\necho I am no Python >&2; exit 7\n")
    bench = make_bench(local_python=python)

    async def main() -> None:
        grid_id, _ = await failed(bench)
        assert await bench.backend.logs(grid_id) == "I am no Python\n"

    asyncio.run(main())


def test_a_python_that_cannot_be_run_fails_the_job(make_bench: MakeBench, tmp_path: Path) -> None:
    python = program(tmp_path / "python", "#!/nowhere/interpreter\n")
    bench = make_bench(local_python=python)

    async def main() -> None:
        _, status = await failed(bench)
        assert "could not be started" in status.detail
        assert str(python) in status.detail

    asyncio.run(main())


# The warm process


def test_the_warm_process_takes_this_package_and_no_other(tmp_path: Path) -> None:
    for version in ("own", "other"):
        folder = tmp_path / version / "snakemake_executor_plugin_grid" / "backends" / "local"
        folder.mkdir(parents=True)
        for package in (folder, *folder.parents[:2]):
            (package / "__init__.py").touch()
        (folder / "warm.py").write_text(f"""
import textwrap
def main(site, snakemake):
    print({version!r}, site, snakemake, textwrap.dedent("  text"))
""")
    # Packages in the same folder must not hide modules of the standard library.
    (tmp_path / "own" / "textwrap.py").touch()
    (tmp_path / "own" / "inspect.py").write_text("raise ImportError")
    command = [sys.executable, "-c", warm_process._WARM, tmp_path / "own", "site", "worker"]
    environment = {"PYTHONPATH": str(tmp_path / "other")}
    printed = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True)
    assert printed == "own site False text\n"


def test_warm_workers_survive_what_happens_to_the_warm_process(make_bench: MakeBench) -> None:
    bench = make_bench(local_cold=False)

    async def main() -> None:
        running = await bench.submit(bench.payload("a-0", f"touch up; {UNTIL_GO}"))
        await bench.noted("up")
        # A death that goes unnoticed costs one round without a new start: three starts fit in four.
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


@pytest.mark.slow
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


@pytest.mark.parametrize("value", [1, 0, -1, True, 1.5, "7", None, [7]])
def test_id_of_many_processes_is_none(value: object) -> None:
    with pytest.raises(ValueError, match="no id of a process"):
        process_id(value)


@pytest.mark.parametrize("content", ["-1", "1", "0", "", "x", "9" * 100, None])
def test_job_cannot_name_processes_to_kill(tmp_path: Path, content: str | None) -> None:
    """A payload can write to the file with the id of its worker; -1 stands for all processes."""
    config = Config(1, 100, "python3", False, "", (), 10.0, {})
    server = LocalServer(tmp_path, config)
    job = server.table.add("j-1", 1, 1, None)
    sandbox = tmp_path / "jobs" / "j-1"
    sandbox.mkdir(parents=True)
    started = sandbox / STARTED_FILE
    if content is None:
        os.mkfifo(started)
    else:
        started.write_text(content)
    assert server._started_pid(job) == 0
    started.unlink()
    started.write_text("4711")
    assert server._started_pid(job) == 4711
