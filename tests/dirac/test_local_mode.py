"""Jobs in DIRAC's local mode: the real client, no server, no certificate, no configuration."""

from __future__ import annotations

import hashlib
import tarfile

import pytest

from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.worker import report as reports

from .local_mode_bench import SECRET, Bench, bench, run

__all__ = ["bench"]


@pytest.mark.parametrize("deliver", ["", "sandbox:"])
def test_job_runs_and_returns_its_results(bench: Bench, deliver: str) -> None:
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
        (status,) = await bench.wait_for_end([grid_id])
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
        assert "Executing workflow locally" in logs  # a line that DIRAC prints
        assert SECRET not in logs

    run(steps)


def test_tarball_of_inputs_is_unpacked_by_the_worker_only(bench: Bench) -> None:
    with tarfile.open(bench.top / "t.tar", "w") as archive:
        archive.add(bench.notes, "notes")
    blob = bench.spooled("inner.tar", (bench.top / "t.tar").read_bytes())

    async def steps() -> None:
        payload = bench.payload(
            "tarball", "tar tf inner.tar > list.txt", blobs=(blob,), outputs=("list.txt",)
        )
        ids = await bench.submit(payload)
        (status,) = await bench.wait_for_end(ids)
        assert status.state is JobState.DONE, await bench.backend.logs(ids[0])
        folder = bench.backend._folder
        assert folder is not None
        assert not list(folder.glob("*/Local_*_JobDir/notes"))

    run(steps)


def test_processors_limit_the_jobs_that_run_at_a_time(bench: Bench) -> None:
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
        statuses = await bench.wait_for_end(ids)
        assert [status.state for status in statuses] == [JobState.DONE] * 4
        assert (bench.notes / "seen").read_text().split() == ["ran"] * 4

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
        await bench.wait_for_end([mine])
        await bench.backend.discard([mine])
        assert await bench.backend.states([mine]) == {}
        assert (bench.notes / "seen").read_text() == "ran\n"

    run(steps)


def test_files_with_secrets_are_private_and_removed_at_the_end(bench: Bench) -> None:
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


def test_description_shows_the_jdl_without_secrets(bench: Bench) -> None:
    payload = bench.payload("told", "true")
    text = bench.backend.describe(payload)
    assert f'Arguments = "{payload.spec.name}";' in text
    assert "jobs.json" in text
    assert SECRET not in text
