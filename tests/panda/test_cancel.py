"""The backend kills a task all of whose jobs go, and of another the single jobs."""

from __future__ import annotations

import asyncio
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.packaging import START_SCRIPT
from snakemake_executor_plugin_grid.backends.panda.backend import PandaBackend
from snakemake_executor_plugin_grid.backends.panda.client import Client
from snakemake_executor_plugin_grid.backends.panda.routes import Jedi
from snakemake_executor_plugin_grid.backends.panda.sandboxes import Sandboxes
from snakemake_executor_plugin_grid.backends.panda.task import Options, shape, task
from snakemake_executor_plugin_grid.backends.panda.task_registry import TaskRegistry
from snakemake_executor_plugin_grid.journal.database import Database
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from tests.conftest import Site
from tests.unit.specs import spec

from .conftest import SITE
from .seen import Seen, until

pytestmark = pytest.mark.panda

NAMES = ["sleep-0a1b2c3d-1", "sleep-0a1b2c3d-2", "sleep-0a1b2c3d-3"]


@pytest.fixture
def backend(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PandaBackend]:
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    database = Database(tmp_path / "grid.sqlite")
    client = Client(Path(sys.executable), tmp_path / "panda.log")
    registry, options = TaskRegistry(database), Options("testvo", sites=(SITE,))
    spool = SpoolStore(tmp_path / "spool", lambda: 1 << 20, "")
    store = DirectoryStore(tmp_path / "store")
    sandboxes = Sandboxes(client, registry, spool, store, tmp_path, by_server=False)
    made = PandaBackend(client, Jedi(client), registry, options, sandboxes, store)
    yield made
    client.close()
    database.close()


async def submit(
    backend: PandaBackend, name: str, folder: Path, names: list[str], script: bytes
) -> str:
    """Submit a task of jobs that run a script; return its id."""
    sandbox = f"sources.{name}.tar.gz"
    with tarfile.open(folder / sandbox, "w:gz") as archive:
        member = tarfile.TarInfo(START_SCRIPT)
        member.size = len(script)
        archive.addfile(member, io.BytesIO(script))
    await backend.client.call("upload", str(folder), sandbox)
    options = Options("testvo", sites=(SITE,))
    cache = str((await backend.client.facts())["cache"])
    parameters = task(shape(spec(names[0]), options), name, names, sandbox, cache)
    await backend._registry.submitting(name, names, 1)
    grid_id = await backend._route.submit(parameters)
    backend._registry.submitted(name, grid_id)
    return grid_id


def test_single_jobs_and_then_the_rest(backend: PandaBackend, seen: Seen, tmp_path: Path) -> None:
    async def all_of_it() -> None:
        server = seen.server
        title = f"user.alice.{tmp_path.name}"
        grid_id = await submit(backend, title, tmp_path, NAMES, b"sleep 100\n")
        ids = [f"{grid_id}:{name}" for name in NAMES]
        until(lambda: seen.states() == ["running"] * 3)
        server.forget_requests()

        assert await backend.cancel(ids[:1]) == set()
        requests = server.requests()
        assert (requests.of("job/kill"), requests.of("task/kill")) == (1, 0)
        until(lambda: seen.states() == ["cancelled", "running", "running"])
        (gone,) = (job for job in seen.jobs() if job["status"] == "cancelled")
        assert gone["inputs"] == NAMES[:1]

        found = {}
        for _ in range(50):
            found = await backend.states(ids)
            if found[ids[0]].state.ended:
                break
            await asyncio.sleep(0.1)
        states = [found[each].state for each in ids]
        assert states == [JobState.CANCELLED, JobState.RUNNING, JobState.RUNNING]
        assert "somebody killed the job" in found[ids[0]].detail

        assert await backend.cancel(ids) == set()
        requests = server.requests()
        assert (requests.of("job/kill"), requests.of("task/kill")) == (1, 1)
        until(lambda: seen.states() == ["cancelled"] * 3)
        assert await backend.cancel(ids) == set(), "what has ended is not left over"

    asyncio.run(all_of_it())


def test_a_large_task_that_is_partly_finished(
    backend: PandaBackend, seen: Seen, tmp_path: Path
) -> None:
    """Nobody waits for descriptions of its jobs, which take the server 35 ms each."""
    names = [f"sleep-0a1b2c3d-{number}" for number in range(60)]
    script = f"cd {tmp_path}; mkdir first 2>&- || mkdir second 2>&- || sleep 100\n".encode()

    async def all_of_it() -> None:
        server = seen.server
        title = f"user.alice.{tmp_path.name}"
        grid_id = await submit(backend, title, tmp_path, names, script)
        until(lambda: seen.states().count("finished") == 2 and len(seen.jobs()) == len(names))
        ended = {job["inputs"][0] for job in seen.jobs() if job["status"] == "finished"}
        ids = [f"{grid_id}:{name}" for name in names if name not in ended]
        server.forget_requests()
        assert await backend.cancel(ids) == set()
        requests = server.requests()
        assert (requests.of("task/kill"), requests.of("job/")) == (1, 0)
        until(lambda: seen.states() == ["cancelled"] * 58 + ["finished"] * 2)

    asyncio.run(all_of_it())
