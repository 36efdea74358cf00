"""Jobs of the local backend, from their submission to their end."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.local import backend as client
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
from snakemake_executor_plugin_grid.model.errors import PermanentError
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import DELIVERY_FOLDER
from tests.unit.backends.local.local_bench import MEET, MakeBench, eventually

# Alone, or say so.
ALONE = "mkdir lock || echo together >> seen; sleep 0.3; rmdir lock"

BLOB = "b" * 64


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


def test_what_was_delivered_beside_the_report_can_be_fetched_twice(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"))
        await bench.ended(ids)
        delivered = bench.sandbox("a-1") / DELIVERY_FOLDER
        delivered.mkdir(exist_ok=True)
        (delivered / BLOB).write_text("made")
        for number in range(2):
            folder = bench.top / f"result-{number}"
            folder.mkdir()
            await bench.backend.retrieve(ids[0], folder)
            assert (folder / DELIVERY_FOLDER / BLOB).read_text() == "made"
        await bench.backend.discard(ids)
        await bench.backend.close()

    asyncio.run(main())


def test_states_on_disk_are_those_in_memory(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        ids = await bench.submit(bench.payload("a-1", "true"), bench.payload("a-2", "exit 1"))
        await bench.ended(ids)
        with sqlite3.connect(bench.backend.folder / "site.sqlite") as database:
            rows = database.execute("SELECT name, state FROM jobs ORDER BY number").fetchall()
        assert rows == [(bench.name("a-1"), "done"), (bench.name("a-2"), "done")]

    asyncio.run(main())


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


def test_a_request_that_fails_is_answered(make_bench: MakeBench) -> None:
    bench = make_bench()

    async def main() -> None:
        await bench.ended(await bench.submit(bench.payload("a-1", "true")))
        with pytest.raises(PermanentError, match="asked to discard: TypeError"):
            await bench.backend._call("discard", ids=3)
        with pytest.raises(PermanentError, match="no such call: sing"):
            await bench.backend._call("sing")

    asyncio.run(main())


def test_isolation_that_cannot_be_had_is_an_error_when_required(make_bench: MakeBench) -> None:
    bench = make_bench(local_isolation="require")
    # The folder that would be hidden holds the Python itself.
    bench.backend = LocalBackend(bench.settings, Path(sys.executable).absolute().parents[1])
    with pytest.raises(PermanentError, match="--grid-local-isolation require"):
        _ = bench.backend.config
    bench = make_bench(local_isolation="auto")
    bench.backend = LocalBackend(bench.settings, Path(sys.executable).absolute().parents[1])
    assert bench.backend.config.hidden == ""
