"""How outputs come back, and when the backend is told to discard results."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from snakemake_executor_plugin_grid.engine import controller
from snakemake_executor_plugin_grid.model.errors import DiskFullError, PermanentError
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.model.tracked import Plan, TrackedJob
from snakemake_executor_plugin_grid.resilience.calls import with_timeout
from snakemake_executor_plugin_grid.resilience.threads import BUSY, in_thread
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.faults import eventually
from tests.unit.fickle import IDENTITY, PATIENT, Bench
from tests.unit.interference import DOWN, Gate, Times
from tests.unit.specs import spec, tracked


class Death:
    """Lets a coroutine pause some times, and then never go on.

    Attributes:
        came: Whether it came after all to its end before.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], pauses: int) -> None:
        self._coroutine = coroutine
        self._pauses = pauses
        self.came = False

    def __await__(self) -> Generator[Any, Any, None]:
        error: BaseException | None = None
        for _ in range(self._pauses + 1):
            try:
                if error is None:
                    waited = self._coroutine.send(None)
                else:
                    waited = self._coroutine.throw(error)
            except StopIteration:
                self.came = True
                return
            error = None
            try:
                yield waited
            except BaseException as raised:
                error = raised
        self._coroutine.close()


def ended_job(bench: Bench, name: str) -> TrackedJob:
    """Return a job that has succeeded on the grid, and whose outputs are not here yet."""
    plan = Plan(spec(name), Runtime("inherit"), identity=IDENTITY)
    journal = bench.journal
    journal.submitting([tracked(plan.spec, IDENTITY)])
    journal.submitted({name: f"id-{name}"})
    bench.backend.jobs[name] = f"id-{name}"
    bench.backend.good.add(f"id-{name}")
    status = JobStatus(JobState.DONE)
    job = TrackedJob(plan, plan.spec, grid_id=f"id-{name}", status=status, ended=True)
    bench.controller._jobs[name] = job
    return job


def test_a_run_that_dies_while_it_completes_a_job_leaves_it_open(bench: Bench) -> None:
    completion = bench.controller._completion
    phases = set()
    for pauses in range(30):
        name = f"j-{pauses}"
        death = Death(completion._complete(ended_job(bench, name)), pauses)

        async def die(death: Death = death) -> None:
            await death

        bench.controller.call(die())
        # Threads that were begun have to end before anything can be said.
        eventually(lambda: not any(thread.name == BUSY for thread in threading.enumerate()))
        bench.controller.call(bench.controller.poll())
        phase = bench.left()[name]
        phases.add(phase)
        assert phase in ("submitted", "outputs installed")
        assert bench.backend.discarded == []
        if death.came:
            break
    assert death.came
    assert pauses >= 3  # one for each step at least
    assert phases == {"submitted", "outputs installed"}
    # The next run takes in what this one has not.
    again = ended_job(bench, "again")
    bench.controller.call(completion.complete(again))
    assert bench.left()["again"] == "outputs installed"


def test_results_are_kept_until_snakemake_has_recorded_the_success(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    monkeypatch.setattr(bench.store, "drop", dropped.append)
    bench.submit("j-1", "j-2")
    bench.succeed("j-1", "j-2")
    assert all(outcome.success for outcome in bench.ended(2))
    assert bench.phases() == {"j-1": "outputs installed", "j-2": "outputs installed"}
    assert bench.discarded() == []
    assert dropped == []
    bench.acknowledge("j-1")
    assert bench.phases() == {"j-1": "succeeded", "j-2": "outputs installed"}
    assert bench.discarded() == [bench.backend.jobs["j-1"]]
    assert dropped == ["j-1"]


def test_a_success_that_is_acknowledged_twice_is_discarded_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    monkeypatch.setattr(bench.store, "drop", dropped.append)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.ended(1)
    for _ in range(3):
        bench.acknowledge("j-1", "unknown")
    assert dropped == ["j-1"]
    assert bench.discarded() == ["id-0"]


def test_successes_that_are_acknowledged_together_are_discarded_in_one_call(bench: Bench) -> None:
    names = [f"j-{number}" for number in range(5)]
    bench.submit(*names)
    bench.succeed(*names)
    bench.ended(5)
    bench.controller.acknowledge(names)
    bench.wait_for(lambda: bool(bench.backend.discarded))
    assert [len(ids) for ids in bench.backend.discarded] == [5]


def test_the_last_success_is_discarded_at_the_end_of_the_run(bench: Bench) -> None:
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.ended(1)
    bench.controller.acknowledge(["j-1"])
    bench.controller.close()
    assert [list(ids) for ids in bench.backend.discarded] == [["id-0"]]
    assert bench.left() == {}


def test_an_acknowledgement_that_cannot_be_noted_leaves_all_to_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noted(names: object) -> None:
        raise DiskFullError("grid.sqlite: database or disk is full")

    monkeypatch.setattr(bench.journal, "noted", noted)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.ended(1)
    bench.acknowledge("j-1")
    assert bench.left() == {"j-1": "outputs installed"}
    assert bench.discarded() == []


def test_results_of_a_failed_job_are_discarded_at_once(bench: Bench) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "exit code 1")}
    assert not bench.ended(1)[0].success
    assert bench.discarded() == ["id-0"]
    assert bench.left() == {}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left"), DiskFullError("x: disk is full"), DOWN]
)
@pytest.mark.parametrize("step", ["fetch", "install"])
@PATIENT
def test_each_step_is_done_again_until_it_works(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    work, fails = getattr(bench.outputs, step), Times(error, 3)

    def works(*args: Any) -> object:
        fails()
        return work(*args)

    monkeypatch.setattr(bench.outputs, step, works)
    bench.submit("j-1")
    bench.succeed("j-1")
    assert bench.ended(1)[0].success
    assert fails.left == 0
    assert len(bench.said) == 2
    assert bench.phases() == {"j-1": "outputs installed"}


@PATIENT
def test_results_are_asked_for_until_they_come(bench: Bench) -> None:
    bench.backend.fetches = down = Times(DOWN, 3)
    bench.submit("j-1")
    bench.succeed("j-1")
    assert bench.ended(1)[0].success
    assert down.left == 0


def test_results_that_are_not_there_fail_the_job(bench: Bench) -> None:
    bench.backend.fetches = Times(PermanentError("there is no output sandbox"), 1000)
    bench.submit("j-1")
    bench.succeed("j-1")
    (outcome,) = bench.ended(1)
    assert not outcome.success
    assert "there is no output sandbox" in outcome.message


def test_results_that_this_host_could_not_install_are_installed_by_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = Times(PermissionError(errno.EACCES, "Permission denied", "out.txt"), 1000)
    with monkeypatch.context() as patch:
        patch.setattr(bench.outputs, "install", lambda *_: denied())
        bench.submit("j-1")
        bench.succeed("j-1")
        (outcome,) = bench.ended(1)
    assert not outcome.success
    assert "Permission denied" in outcome.message
    assert outcome.message.count("the next run tries again") == 1
    assert bench.discarded() == []
    before = bench.database.query("SELECT phase, detail, finished, needs_cleanup FROM jobs")
    assert before == [("submitted", "", None, 1)]
    bench.database.change("UPDATE jobs SET run='earlier'", [()])
    bench.look()
    bench.submit("j-2")  # the same job in the next run
    (outcome,) = bench.ended(1)
    assert (outcome.name, outcome.success, outcome.grid_id) == ("j-2", True, "id-0")
    assert bench.backend.runs == {"j-1": 1}
    assert bench.backend.cancelled == []
    assert bench.phases() == {"j-1": "outputs installed"}


@pytest.mark.parametrize("final", [False, True])
def test_only_a_job_that_has_failed_itself_is_noted_as_failed(bench: Bench, final: bool) -> None:
    job = ended_job(bench, "j-1")
    outcome = bench.controller.call(bench.outcomes.fail(job, "no room for it", final=final))
    assert (outcome.name, outcome.success, outcome.grid_id) == ("j-1", False, "id-j-1")
    assert "no room for it" in outcome.message
    assert bench.left() == ({} if final else {"j-1": "submitted"})
    details = bench.database.query("SELECT detail FROM jobs")
    assert details == [("no room for it" if final else "",)]


def leave_all(bench: Bench) -> None:
    bench.controller.leave(lambda: False)


def cancel_all(bench: Bench) -> None:
    assert bench.controller.cancel(1000, lambda: False) == []


@pytest.mark.parametrize("impatient", [False, True])
@pytest.mark.parametrize("step", ["fetch", "install"])
@pytest.mark.parametrize("way", [leave_all, cancel_all])
def test_a_thread_that_hangs_does_not_keep_a_run_from_ending(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[Bench], None],
    step: str,
    impatient: bool,
) -> None:
    for limit in ("_SILENT_WAIT", "_LAST_TRANSFERS", "_LAST_SUBMISSIONS"):
        monkeypatch.setattr(controller, limit, 0.2)
    broken: list[object] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    gate = Gate()
    hanging: list[threading.Thread] = []

    def hangs(*_: Any) -> None:
        hanging.append(threading.current_thread())
        gate()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(bench.outputs, step, hangs)
    bench.submit("j-1", "j-2", "j-3")
    bench.succeed("j-1", "j-2")
    bench.wait_for(lambda: len(hanging) == 2)
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    way(bench)
    said = len(bench.said)
    began = time.monotonic()
    bench.controller.close(lambda: impatient)
    assert time.monotonic() - began < 5
    waits = [text for text in bench.said[said:] if text.startswith("Waiting for transfers")]
    assert len(waits) == (not impatient)
    assert {name: bench.phases()[name] for name in ("j-1", "j-2")} == {
        "j-1": "submitted",
        "j-2": "submitted",
    }
    assert all(thread.daemon for thread in hanging)  # else the program would not end
    gate.open()
    eventually(lambda: not any(thread.name == BUSY for thread in hanging))
    assert broken == []
    assert bench.left().keys() >= {"j-1", "j-2"}


@pytest.mark.parametrize("success", [False, True])
def test_jobs_are_completed_while_all_staging_threads_wait_for_a_store(
    bench: Bench, success: bool
) -> None:
    bench.submit("j-1")
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)
    gate = Gate()
    for _ in range(8):
        bench.pool.submit(gate)
    assert gate.reached()
    try:
        if success:
            bench.succeed("j-1")
        else:
            bench.backend.statuses = {"id-0": JobStatus(JobState.FAILED, "exit code 1")}
        (outcome,) = bench.ended(1)
        assert outcome.success is success
        if success:
            bench.acknowledge("j-1")
        assert bench.discarded() == ["id-0"]
        assert bench.left() == {}
    finally:
        gate.open()


def test_errors_of_a_thread_are_raised_in_the_loop(bench: Bench) -> None:
    def fails(error: BaseException) -> None:
        raise error

    for error in (DOWN, OSError(errno.EIO, "Input/output error"), KeyError("x")):
        with pytest.raises(type(error)) as raised:
            bench.controller.call(in_thread(fails, error))
        assert raised.value is error
    with pytest.raises(PermanentError, match="exited with 3"):
        bench.controller.call(with_timeout(in_thread(fails, SystemExit(3))))
    assert bench.controller.call(in_thread(lambda: None)) is None


@PATIENT
def test_results_that_are_not_here_when_the_run_ends_are_left_to_the_next(bench: Bench) -> None:
    bench.backend.fetches = Times(DOWN, 1000)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.wait_for(lambda: bool(bench.said))
    bench.controller.leave(lambda: False)
    bench.controller.close()
    assert bench.left() == {"j-1": "submitted"}
    assert bench.backend.discarded == []


@pytest.mark.parametrize("bench", [{"outage_limit": 30.0}], indirect=True)
def test_a_store_that_is_down_beyond_the_limit_fails_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.outputs, "fetch", lambda _: Times(DOWN)())
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.wait_for(lambda: bool(bench.controller.exhausted))
    assert bench.polls() == []
    assert bench.left() == {"j-1": "submitted"}


def test_incoming_files_are_removed(bench: Bench) -> None:
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.ended(1)
    incoming = bench.folder / "incoming"
    bench.wait_for(lambda: not list(incoming.iterdir()))


def test_a_server_that_cannot_discard_results_does_no_harm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def discard(ids: object) -> None:
        raise DOWN

    monkeypatch.setattr(bench.backend, "discard", discard)
    bench.submit("j-1")
    bench.succeed("j-1")
    bench.ended(1)
    bench.acknowledge("j-1")
    bench.polls()
    assert bench.phases() == {"j-1": "succeeded"}
    assert bench.said == []
