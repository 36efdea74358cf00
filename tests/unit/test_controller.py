"""The controller with a backend that misbehaves as real ones do."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid import patience
from snakemake_executor_plugin_grid.backends.base import (
    Backend,
    Payload,
    SubmitError,
    Submitted,
)
from snakemake_executor_plugin_grid.controller import Controller, Parts
from snakemake_executor_plugin_grid.database import Database
from snakemake_executor_plugin_grid.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.flight import Outcome, Plan
from snakemake_executor_plugin_grid.journal import Journal
from snakemake_executor_plugin_grid.landing import Landing
from snakemake_executor_plugin_grid.patience import Patience
from snakemake_executor_plugin_grid.staging.catalog import Catalog
from snakemake_executor_plugin_grid.staging.outgoing import Outgoing
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.states import JobState, JobStatus
from snakemake_executor_plugin_grid.stores.directory import DirectoryStore
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.specs import spec


class Fickle(Backend):
    """Takes jobs and does what the test says with them."""

    name = "fickle"
    poll_interval = 0.01

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.payloads: list[Payload] = []
        self.runs: Counter[str] = Counter()
        self.takes: Callable[[str], bool] = lambda name: True
        self.answer: Callable[[], None] = lambda: None
        self.credentials: Callable[[], None] = lambda: None
        self.finds: Callable[[], None] = lambda: None
        self.checks: Callable[[], None] = lambda: None
        self.statuses: dict[str, JobStatus] = {}
        self.good: set[str] = set()
        self.cancelled: list[str] = []
        self.unconfirmed: set[str] = set()
        self.discarded: list[Collection[str]] = []

    async def check(self) -> None:
        self.checks()

    async def submit(self, payloads: Sequence[Payload]) -> list[Submitted | SubmitError]:
        self.payloads += payloads
        for payload in payloads:
            name = payload.spec.name
            if self.takes(name):
                self.runs[name] += 1
                self.jobs.setdefault(name, f"id-{len(self.jobs)}")
        self.answer()
        return [Submitted(self.jobs[payload.spec.name]) for payload in payloads]

    async def check_credentials(self) -> str:
        self.credentials()
        return ""

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
        (name,) = [name for name, known in self.jobs.items() if known == grid_id]
        if grid_id in self.good:
            Report(name, reason=reports.SUCCESS).write(folder / "report.json")

    async def logs(self, grid_id: str) -> str:
        return ""

    async def discard(self, ids: Collection[str]) -> None:
        self.discarded.append(ids)

    def blames_site(self, status: JobStatus, reason: str) -> bool:
        return not reason and status.infrastructure

    def describe(self, payload: Payload) -> str:
        return payload.description

    async def close(self) -> None:
        pass


class Bench:
    def __init__(
        self, folder: Path, lost_limit: float = 60.0, outage_limit: float = 0.0, retries: int = 3
    ) -> None:
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
                retries=retries,
                patience=Patience(
                    "fickle", outage_limit, self.backend.check_credentials, self.said.append
                ),
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

    def wait_for(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not done():
            assert time.monotonic() < end, self.said
            self.controller.call(self.controller.poll())
            time.sleep(0.01)

    def fault(self, *names: str, site: str = "") -> None:
        """Let the infrastructure fail jobs, when they are there."""
        self.wait_for(lambda: all(name in self.backend.jobs for name in names))
        self.backend.statuses |= {
            self.backend.jobs[name]: JobStatus(JobState.FAILED, "pilot lost", site, True)
            for name in names
        }

    def succeed(self, *names: str, site: str = "") -> None:
        self.wait_for(lambda: all(name in self.backend.jobs for name in names))
        for name in names:
            grid_id = self.backend.jobs[name]
            self.backend.good.add(grid_id)
            self.backend.statuses[grid_id] = JobStatus(JobState.DONE, "", site)

    def phases(self) -> dict[str, str]:
        return dict(self.database.query("SELECT name, phase FROM jobs"))


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_CREDENTIALS_PAUSE", 0.01)
    monkeypatch.setattr(patience, "_CREDENTIALS_PERIOD", 0.0)


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(tmp_path, **getattr(request, "param", {}))
    yield bench
    bench.controller.close()
    bench.database.close()


def _down() -> None:
    raise TransientError("the server is down")


@pytest.mark.parametrize("bench", [{"lost_limit": 0.3}], indirect=True)
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


PATIENT = pytest.mark.parametrize("bench", [{"outage_limit": 60.0}], indirect=True)


class Times:
    """Raises an error some times, then nothing."""

    def __init__(self, error: Exception, times: int = 1) -> None:
        self.error = error
        self.left = times

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise self.error


DOWN = TransientError("the server is down")
EXPIRED = CredentialsError("the proxy has expired; run 'renew'.")
NAMES = tuple(f"j-{number}" for number in range(6))


@PATIENT
@pytest.mark.parametrize("finds", [0, 3])
@pytest.mark.parametrize("error", [DOWN, TimeoutError(), EXPIRED], ids=["down", "late", "expired"])
@pytest.mark.parametrize("taken", [0, 3, 6])
def test_no_job_is_lost_or_sent_twice_when_answers_are_lost(
    bench: Bench, taken: int, error: Exception, finds: int
) -> None:
    backend = bench.backend
    backend.answer = answer = Times(error, 2)
    # The first time it takes some, then all.
    backend.takes = lambda name: answer.left < 2 or name in NAMES[:taken]
    backend.finds = Times(error, finds)
    bench.submit(*NAMES)
    bench.wait_for(lambda: set(bench.phases().values()) == {"submitted"})
    assert backend.runs == dict.fromkeys(NAMES, 1)
    bench.succeed(*NAMES)
    outcomes = bench.outcomes(6)
    assert sorted(outcome.name for outcome in outcomes) == list(NAMES)
    assert all(outcome.success for outcome in outcomes)


def test_credentials_that_expire_are_waited_for_and_told_of_once(bench: Bench) -> None:
    backend = bench.backend
    expired = Times(EXPIRED, 5)
    backend.credentials = expired
    backend.finds = expired
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(backend.runs) == 2)
    assert [text.partition(" ")[0] for text in bench.said] == ["Waiting", "The"]
    assert backend.runs == {"j-1": 1, "j-2": 1}


def test_credentials_that_expire_in_a_submission_are_told_of_once(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1" or bool(backend.runs)
    backend.answer = Times(EXPIRED)
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(backend.runs) == 2)
    bench.polls(0.1)
    assert [text.partition(" ")[0] for text in bench.said] == ["Waiting", "The"]
    assert backend.runs == {"j-1": 1, "j-2": 1}


def test_a_submission_that_is_refused_as_a_whole_fails_only_jobs_not_taken(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1"
    backend.answer = Times(PermanentError("no such queue"))
    bench.submit("j-1", "j-2")
    (outcome,) = bench.outcomes(1)
    assert outcome.name == "j-2"
    assert "no such queue" in outcome.message
    assert bench.phases() == {"j-1": "submitted", "j-2": "failed"}
    bench.succeed("j-1")
    assert bench.outcomes(1)[0].success


@pytest.mark.parametrize("bench", [{"outage_limit": 0.3}], indirect=True)
def test_what_is_known_of_some_jobs_is_kept_when_others_are_in_doubt(bench: Bench) -> None:
    backend = bench.backend
    backend.takes = lambda name: name == "j-1"
    backend.answer = Times(DOWN, 1000)
    found = []

    def finds() -> None:
        found.append(1)
        if len(found) > 1:
            raise DOWN

    backend.finds = finds
    bench.submit("j-1", "j-2")
    (outcome,) = bench.outcomes(1)
    assert outcome.name == "j-2"
    assert bench.phases() == {"j-1": "submitted", "j-2": "submitting"}
    bench.succeed("j-1")
    assert bench.outcomes(1)[0].success


def test_what_the_infrastructure_fails_is_sent_again_under_another_name(bench: Bench) -> None:
    bench.submit("j-1")
    for name in ("j-1", "j-1.1", "j-1.2", "j-1.3"):
        assert bench.polls(0.1) == []
        bench.fault(name)
    (outcome,) = bench.outcomes(1)
    assert (outcome.name, outcome.success) == ("j-1", False)
    assert "pilot lost" in outcome.message
    bench.polls(0.1)
    assert bench.backend.runs == {"j-1": 1, "j-1.1": 1, "j-1.2": 1, "j-1.3": 1}
    assert set(bench.phases().values()) == {"failed"}
    again = [text for text in bench.said if "Sending it again" in text]
    assert [text.rpartition("(")[2] for text in again] == [
        f"{number} of at most 3 times)." for number in (1, 2, 3)
    ]


def test_a_job_that_succeeds_after_a_fault_is_a_success_under_its_first_name(bench: Bench) -> None:
    bench.submit("j-1")
    bench.fault("j-1", site="A")
    bench.succeed("j-1.1", site="B")
    (outcome,) = bench.outcomes(1)
    assert (outcome.name, outcome.success, outcome.grid_id) == ("j-1", True, "id-1")
    assert bench.phases() == {"j-1": "failed", "j-1.1": "succeeded"}
    assert not bench.controller.active


@pytest.mark.parametrize("bench", [{"retries": 0}], indirect=True)
def test_nothing_is_sent_again_where_the_user_wants_it_so(bench: Bench) -> None:
    bench.submit("j-1")
    bench.fault("j-1")
    assert not bench.outcomes(1)[0].success
    assert bench.backend.runs == {"j-1": 1}


def test_what_fails_by_itself_is_not_sent_again(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "Application failed", "A")}
    assert not bench.outcomes(1)[0].success
    assert bench.backend.runs == {"j-1": 1}


def test_a_job_avoids_the_sites_that_failed_it(bench: Bench) -> None:
    bench.submit("j-1")
    for name, site in (("j-1", "A"), ("j-1.1", ""), ("j-1.2", "B")):
        bench.fault(name, site=site)
    bench.wait_for(lambda: "j-1.3" in bench.backend.jobs)
    assert [payload.avoid for payload in bench.backend.payloads] == [
        frozenset(),
        frozenset("A"),
        frozenset("A"),
        frozenset("AB"),
    ]
    bench.submit("j-2")
    bench.wait_for(lambda: "j-2" in bench.backend.jobs)
    assert bench.backend.payloads[-1].avoid == frozenset()  # one fault says little of a site


def test_a_site_that_fails_job_after_job_gets_no_more(bench: Bench) -> None:
    bench.submit("j-1", "j-2", "j-3", "j-4")
    bench.fault("j-1", "j-2", site="A")
    bench.wait_for(lambda: {"j-1.1", "j-2.1"} <= bench.backend.jobs.keys())
    assert not any("in a row" in text for text in bench.said)
    bench.fault("j-3", "j-4", site="A")
    bench.wait_for(lambda: {"j-3.1", "j-4.1"} <= bench.backend.jobs.keys())
    bench.submit("j-5")
    bench.wait_for(lambda: "j-5" in bench.backend.jobs)
    assert bench.backend.payloads[-1].avoid == frozenset("A")
    (said,) = [text for text in bench.said if "in a row" in text]
    assert said.startswith("site A has failed 3 jobs in a row")


@pytest.mark.parametrize("where", ["answer", "credentials", "finds"])
@pytest.mark.parametrize("error", [DOWN, EXPIRED], ids=["down", "expired"])
@PATIENT
def test_cancelling_while_the_run_waits_ends_soon_and_sends_nothing_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 30.0)
    monkeypatch.setattr(patience, "_CREDENTIALS_PAUSE", 30.0)
    backend = bench.backend
    backend.takes = lambda name: False
    if where == "finds":
        backend.answer = Times(DOWN)
    setattr(backend, where, Times(error))
    bench.submit("j-1")
    bench.wait_for(lambda: bool(bench.said))
    sent = len(backend.payloads)
    backend.takes = lambda name: True
    began = time.monotonic()
    assert bench.controller.cancel(10, lambda: False) == []
    bench.controller.close()
    assert time.monotonic() - began < 5
    assert len(backend.payloads) == sent
    assert bench.phases() == {"j-1": "submitting"}  # the next run looks for it


def test_a_job_that_comes_to_be_submitted_after_cancelling_is_cancelled(bench: Bench) -> None:
    ready, go = threading.Event(), threading.Event()

    def answer() -> None:
        ready.set()
        go.wait(10)

    bench.backend.answer = answer
    bench.submit("j-1")
    assert ready.wait(10)
    threading.Timer(0.2, go.set).start()
    bench.controller.cancel(10, lambda: False)
    bench.controller.close()
    assert bench.backend.cancelled == ["id-0"]


@PATIENT
def test_results_are_asked_for_until_they_come(bench: Bench) -> None:
    retrieve, down = bench.backend.retrieve, Times(DOWN, 3)

    async def fickle(grid_id: str, folder: Path) -> None:
        down()
        await retrieve(grid_id, folder)

    bench.backend.retrieve = fickle  # type: ignore[method-assign]
    bench.submit("j-1")
    bench.succeed("j-1")
    assert bench.outcomes(1)[0].success
    assert down.left == 0
