"""The controller with a backend that misbehaves as real ones do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.base import (
    Backend,
    Payload,
    SubmitError,
    Submitted,
)
from snakemake_executor_plugin_grid.controller import Controller, Parts
from snakemake_executor_plugin_grid.database import Database
from snakemake_executor_plugin_grid.errors import GridError, TransientError
from snakemake_executor_plugin_grid.flight import Outcome, Plan
from snakemake_executor_plugin_grid.journal import Journal
from snakemake_executor_plugin_grid.landing import Landing
from snakemake_executor_plugin_grid.patience import Patience
from snakemake_executor_plugin_grid.staging.catalog import Catalog
from snakemake_executor_plugin_grid.staging.outgoing import Outgoing
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.states import JobState, JobStatus
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.specs import spec


class Fickle(Backend):
    """Takes jobs and does what the test says with them."""

    name = "fickle"
    poll_interval = 0.01

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.answer: Callable[[], None] = lambda: None
        self.finds: Callable[[], None] = lambda: None
        self.checks: Callable[[], None] = lambda: None
        self.statuses: dict[str, JobStatus] = {}
        self.cancelled: list[str] = []
        self.unconfirmed: set[str] = set()
        self.discarded: list[Collection[str]] = []

    async def check(self) -> None:
        self.checks()

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | SubmitError]:
        for payload in payloads:
            self.jobs.setdefault(payload.spec.name, f"id-{len(self.jobs)}")
        self.answer()
        return [Submitted(self.jobs[payload.spec.name]) for payload in payloads]

    async def states(self, ids: Collection[str]) -> Mapping[str, JobStatus]:
        return self.statuses

    async def find(self, names: Collection[str]) -> Mapping[str, str]:
        self.finds()
        return {name: self.jobs[name] for name in names if name in self.jobs}

    async def cancel(self, ids: Collection[str]) -> set[str]:
        self.cancelled += ids
        return self.unconfirmed

    async def retrieve(self, grid_id: str, folder: Path) -> None:
        (folder / "payload.log").write_text("it said this\n")

    async def logs(self, grid_id: str) -> str:
        return ""

    async def discard(self, ids: Collection[str]) -> None:
        self.discarded.append(ids)

    def describe(self, payload: Payload) -> str:
        return payload.description

    async def close(self) -> None:
        pass


class Bench:
    def __init__(self, folder: Path, lost_limit: float) -> None:
        self.said: list[str] = []
        self.backend = Fickle()
        layout = Layout(folder / "work")
        layout.workdir.mkdir()
        store = DirectoryStore(folder / "store")
        store.check()
        self.database = Database(folder / "grid.sqlite")
        self.journal = Journal(self.database, "run", "fickle")
        catalog = Catalog(self.database)
        pool = ThreadPoolExecutor(2)
        outgoing = Outgoing(layout, store, catalog, pool, large_file=1 << 20, compression="none")
        own = layout.workdir / ".snakemake" / "grid"
        landing = Landing(
            "fickle", store, self.journal, catalog, layout, own, "none", self.said.append
        )
        self.controller = Controller(
            Parts(
                backend=self.backend,
                store=store,
                journal=self.journal,
                layout=layout,
                outgoing=outgoing,
                landing=landing,
                pool=pool,
                worker=folder / "worker.pyz",
                folder=own,
                keep_incomplete=False,
                large_file=1 << 20,
                compression="none",
                lost_limit=lost_limit,
                retries=3,
                patience=Patience("fickle", 0.0, self.backend.check_credentials, self.said.append),
                say=self.said.append,
            )
        )

    def submit(self, *names: str) -> None:
        self.controller.submit([Plan(spec(name), Runtime("inherit")) for name in names])

    def outcomes(self, count: int) -> list[Outcome]:
        """Poll until so many jobs have come to their end."""
        found: list[Outcome] = []
        end = time.monotonic() + 20
        while len(found) < count:
            assert time.monotonic() < end, (found, self.said)
            found += self.controller.call(self.controller.poll())
            time.sleep(0.01)
        return found

    def polls(self, seconds: float) -> list[Outcome]:
        end = time.monotonic() + seconds
        found: list[Outcome] = []
        while time.monotonic() < end:
            found += self.controller.call(self.controller.poll())
            time.sleep(0.01)
        return found

    def phases(self) -> dict[str, str]:
        return dict(self.database.query("SELECT name, phase FROM jobs"))


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, getattr(request, "param", 60.0))
    yield bench
    bench.controller.close()
    bench.database.close()


def _down() -> None:
    raise TransientError("the server is down")


@pytest.mark.parametrize("bench", [0.3], indirect=True)
def test_a_job_that_the_backend_no_longer_names_is_given_up_after_a_time(bench: Bench) -> None:
    bench.submit("j-1")
    began = time.monotonic()
    (outcome,) = bench.outcomes(1)
    assert time.monotonic() - began >= 0.3
    assert not outcome.success
    assert "fickle has not known it for" in outcome.message


def test_a_job_that_is_not_named_for_a_while_is_neither_failed_nor_done(bench: Bench) -> None:
    bench.submit("j-1")
    assert bench.polls(0.3) == []
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "pilot lost")}
    (outcome,) = bench.outcomes(1)
    assert "no report came back: pilot lost" in outcome.message
    assert "it said this" in outcome.message
    assert outcome.grid_id == "id-0"


def test_ids_that_nobody_asked_for_do_no_harm(bench: Bench) -> None:
    bench.submit("j-1")
    bench.polls(0.1)
    bench.backend.statuses = {
        "other": JobStatus(JobState.DONE),
        "id-0": JobStatus(JobState.CANCELLED),
    }
    (outcome,) = bench.outcomes(1)
    assert outcome.name == "j-1"


def test_a_lost_answer_neither_loses_a_job_nor_runs_it_twice(bench: Bench) -> None:
    bench.backend.answer = _down
    bench.submit("j-1", "j-2")
    bench.polls(0.2)
    assert bench.phases() == {"j-1": "submitted", "j-2": "submitted"}
    bench.backend.statuses = {
        grid_id: JobStatus(JobState.FAILED) for grid_id in bench.backend.jobs.values()
    }
    assert sorted(outcome.name for outcome in bench.outcomes(2)) == ["j-1", "j-2"]


def test_a_job_that_may_have_been_submitted_is_looked_for_by_the_next_run(bench: Bench) -> None:
    bench.backend.answer = bench.backend.finds = _down
    bench.submit("j-1")
    (outcome,) = bench.outcomes(1)
    assert "could not be submitted: the server is down" in outcome.message
    assert bench.phases() == {"j-1": "submitting"}
    later = Journal(bench.database, "later", "fickle")
    assert [(job.name, job.grid_id) for job in later.left()] == [("j-1", None)]


def test_a_client_library_that_exits_is_an_error_like_any_other(bench: Bench) -> None:
    bench.backend.checks = lambda: sys.exit(255)
    with pytest.raises(GridError, match="exited with 255"):
        bench.controller.call(bench.controller.check(), 10)
    bench.backend.answer = bench.backend.finds = lambda: sys.exit(255)
    bench.submit("j-1")
    (outcome,) = bench.outcomes(1)
    assert "exited with 255" in outcome.message


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(bench: Bench) -> None:
    bench.submit("j-1")
    bench.polls(0.1)
    states = bench.backend.states

    async def down(ids: Collection[str]) -> Mapping[str, JobStatus]:
        raise TransientError("the server is down")

    bench.backend.states = down  # type: ignore[method-assign]
    assert bench.polls(0.2) == []
    bench.backend.states = states  # type: ignore[method-assign]
    bench.polls(0.1)
    assert [text.partition(" ")[2][:15] for text in bench.said] == [
        "does not answer",
        "answers again a",
    ]


def test_what_was_not_confirmed_when_cancelling_is_listed(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.polls(0.2)
    unconfirmed = bench.backend.jobs["j-2"]
    bench.backend.unconfirmed = {unconfirmed}
    left = bench.controller.cancel(10, lambda: False)
    assert len(left) == 1
    assert left[0].startswith(unconfirmed)
    assert sorted(bench.backend.cancelled) == ["id-0", "id-1"]
    assert bench.phases() == {"j-1": "cancelled", "j-2": "submitted"}
    assert "1 job(s) cancelled." in bench.said
    assert not bench.controller.active


def test_jobs_of_a_run_that_died_are_cancelled(bench: Bench) -> None:
    earlier = Journal(bench.database, "earlier", "fickle")
    earlier.submitting([spec("e-1"), spec("e-2")])
    earlier.submitted({"e-1": "id-7"})
    bench.backend.jobs = {"e-1": "id-7"}
    bench.controller.call(bench.controller.check())
    assert bench.backend.cancelled == ["id-7"]
    assert bench.phases() == {"e-1": "cancelled", "e-2": "cancelled"}
    assert any("an earlier run left behind" in text for text in bench.said)
