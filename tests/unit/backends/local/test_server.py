"""The site of the local backend: found again, replaced, killed, hanging, and its folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import Rejected
from snakemake_executor_plugin_grid.backends.local import config
from snakemake_executor_plugin_grid.backends.local.backend import LocalBackend
from snakemake_executor_plugin_grid.backends.local.config import socket_address
from snakemake_executor_plugin_grid.model.errors import PermanentError, TransientError
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from snakemake_executor_plugin_grid.worker import report as reports
from tests.unit.backends.local.local_bench import MEET, UNTIL_GO, MakeBench, eventually

HOST = socket.gethostname()


def test_a_killed_site_loses_no_job_and_runs_none_twice(make_bench: MakeBench) -> None:
    bench = make_bench(local_cores=2)

    async def main() -> None:
        ids = await bench.submit(
            *(
                bench.payload(f"a-{n}", f"echo {n} >> seen; touch up-{n}; {UNTIL_GO}")
                for n in range(4)
            )
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
            bench.payload("a-1", f"touch up; {UNTIL_GO}; touch made"),
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
    command = f"touch up; {UNTIL_GO}; echo ran >> seen"

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


@pytest.mark.parametrize("cold", [True, False])
def test_after_an_upgrade_a_new_site_takes_over_the_jobs(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    bench = make_bench(local_cold=cold, local_cores=1)

    async def main() -> None:
        ids = await bench.submit(
            bench.payload("a-1", f"touch up; {UNTIL_GO}; echo ran >> seen"),
            bench.payload("a-2", "echo queued >> seen"),
        )
        await bench.noted("up")
        old = bench.site_pids()
        await bench.backend.check()
        assert bench.site_pids() == old
        monkeypatch.setattr(config, "CODE_VERSION", "newer")
        await bench.backend.check()
        await eventually(lambda: not bench.site_pids())
        assert (await bench.backend.states(ids))[ids[0]].state is JobState.RUNNING
        assert bench.site_pids() not in ([], old)
        (bench.notes / "go").touch()
        assert {status.state for status in await bench.ended(ids)} == {JobState.DONE}

    asyncio.run(main())
    assert bench.seen() == ["ran", "queued"]


def test_a_busy_site_that_cannot_hand_over_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call(self: LocalBackend, name: str, **_: object) -> object:
        return {"config": "", "busy": True} if name == "hello" else "busy"

    monkeypatch.setattr(LocalBackend, "_call", call)
    settings = ExecutorSettings(local_dir=tmp_path)
    with pytest.raises(PermanentError, match=r"another version.*--grid-local-dir"):
        asyncio.run(LocalBackend(settings, tmp_path).check())
    asyncio.run(LocalBackend(settings, tmp_path, guest=True).check())  # can cancel its jobs


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
            assert load_report(folder / "report.json").reason == reports.SUCCESS
        await bench.backend.discard(ids)
        await bench.backend.close()
        await eventually(lambda: not bench.backend.folder.exists())

    ids = asyncio.run(first())
    bench = make_bench()
    asyncio.run(second(ids))
    assert bench.seen() == ["ran"]


def test_the_site_that_has_jobs_of_the_workflow_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "one"))
    settings = ExecutorSettings()
    first = LocalBackend(settings, tmp_path)
    assert first.folder.parent == tmp_path / "one"
    assert first.endpoint == f"{HOST}:{first.folder}"
    first.folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "two"))
    other = LocalBackend(settings, tmp_path)
    assert other.folder.parent == tmp_path / "two"
    assert LocalBackend(settings, tmp_path, endpoint="").folder == other.folder
    again = LocalBackend(settings, tmp_path, endpoint=first.endpoint)
    assert (again.folder, again.endpoint) == (first.folder, first.endpoint)
    assert again.store_folder == first.store_folder
    first.folder.rmdir()  # with all its jobs
    assert LocalBackend(settings, tmp_path, endpoint=first.endpoint).folder == other.folder


def test_neither_the_site_of_another_host_nor_another_than_the_chosen_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "two"))
    there = tmp_path / "one" / "site"
    there.mkdir(parents=True)
    own = LocalBackend(ExecutorSettings(), tmp_path).folder
    for place in (f"other-{HOST}:{there}", f":{there}", f"{HOST}:{there}/none"):
        assert LocalBackend(ExecutorSettings(), tmp_path, endpoint=place).folder == own
    chosen = ExecutorSettings(local_dir=tmp_path / "chosen")
    folder = LocalBackend(chosen, tmp_path, endpoint=f"{HOST}:{there}").folder
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


def test_a_reply_that_breaks_off_is_an_outage(tmp_path: Path) -> None:
    backend = LocalBackend(ExecutorSettings(local_dir=tmp_path / "site"), tmp_path)
    backend.folder.mkdir(parents=True)

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"1": ["run')
        writer.close()

    async def main() -> None:
        async with await asyncio.start_unix_server(break_off, socket_address(backend.folder)):
            with pytest.raises(ConnectionError):
                await backend._exchange(b"{}\n")

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
            *(bench.payload(f"a-{n}", f"touch up-{n}; {UNTIL_GO}") for n in range(3))
        )
        await bench.noted("up-0", "up-1", "up-2")
        fill(small_disk)
        (answer,) = await bench.backend.submit([bench.payload("b-1", "true")])
        assert isinstance(answer, Rejected)
        assert "No space left" in answer.message or "full" in answer.message
        (bench.notes / "go").touch()
        await bench.ended(running, 15)
        shutil.rmtree(bench.sandbox("a-0"))
        (small_disk / "filler").unlink()
        ids = await bench.submit(bench.payload("b-2", "true"))
        (status,) = await bench.ended(ids, 10)
        assert status.state is JobState.DONE

    asyncio.run(main())
