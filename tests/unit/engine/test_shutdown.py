"""When a run ends early, whether its jobs stay, and what its exit code is."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from snakemake_executor_plugin_grid.console.last_words import Tally
from snakemake_executor_plugin_grid.engine.run import Run
from snakemake_executor_plugin_grid.engine.shutdown import Shutdown
from snakemake_executor_plugin_grid.settings.options import ExecutorSettings
from tests.unit.clock import VirtualClock


class SchedulerApi:
    """Snakemake's scheduler, as far as a departure knows it."""

    def __init__(self) -> None:
        self.busy = False
        self.has_failed = False
        self.errors: list[str] = []
        self.unsaid: list[str] = []

    def interrupt(self, error: Exception) -> None:
        self.errors.append(str(error))

    def suppress(self, texts: Iterable[str]) -> None:
        self.unsaid += texts

    def has_failed_for_good(self, job: object) -> bool:
        return True


class Scene:
    """A departure of a run that the test describes."""

    def __init__(self, **options: Any) -> None:
        self.abandoned = 0
        self.done: list[str] = []
        self.said: list[str] = []
        self.last = ""
        self.unconfirmed: list[str] = []
        self.tally = Tally()
        self.controller = SimpleNamespace(
            exhausted="",
            stuck="",
            outlives_run=True,
            at_rest=True,
            trouble="",
            active=False,
            on_the_grid=["id-1 (rule a)"],
            abandon=self._abandon,
            leave=self._leave,
            cancel=self._cancel,
        )
        self.scheduler_api = SchedulerApi()
        self.left_open = 1
        self._run = run = SimpleNamespace(
            controller=self.controller,
            scheduler_api=self.scheduler_api,
            say=self.said.append,
            close=lambda end, _: self.done.append(f"close {end}"),
        )
        self.clock = VirtualClock()
        self.shutdown = Shutdown(ExecutorSettings(**options), cast("Run", run), self.clock)

    def _abandon(self) -> None:
        self.abandoned += 1

    def _leave(self, give_up: object, *, at_once: bool) -> None:
        self.done.append("leave at once" if at_once else "leave")

    def _cancel(self, timeout: float, give_up: object) -> list[str]:
        self.done.append("cancel")
        return self.unconfirmed

    def finish(self) -> list[str]:
        """Let the run end; return what was done."""
        self._run.left_open = self.left_open
        self.last = self.shutdown.finish(self.tally, lambda: False)
        return self.done

    def look(self, *, quiet: bool = True) -> tuple[bool, bool, int | None]:
        self.shutdown.look(quiet=quiet)
        return self.shutdown.ending, self.shutdown.leaves, self.shutdown.exit_code


GOES_ON = (False, False, None)


@pytest.mark.parametrize("options", [{}, {"on_interrupt": "keep"}])
def test_a_run_goes_on_until_its_workflow_is_done(options: dict[str, Any]) -> None:
    scene = Scene(**options)
    scene.controller.trouble = "it is down"
    assert scene.look() == GOES_ON
    assert scene.scheduler_api.errors == []


@pytest.mark.parametrize(
    ("options", "code"), [({}, None), ({"on_interrupt": "keep"}, None), ({"detach": True}, 1)]
)
def test_an_outage_beyond_its_limit_ends_the_run_and_leaves_its_jobs(
    options: dict[str, Any], code: int | None
) -> None:
    scene = Scene(**options)
    scene.controller.exhausted = "dirac has not answered for 24 h"
    scene.controller.at_rest = False
    assert scene.look(quiet=False) == (True, True, code)
    assert scene.scheduler_api.errors == ["The run ends: dirac has not answered for 24 h."]
    assert "Exiting because a job execution failed" in scene.scheduler_api.unsaid


def test_a_run_ends_some_time_after_only_jobs_of_a_silent_server_are_left() -> None:
    scene = Scene()
    scene.controller.stuck = "dirac has not answered for 24 h"
    assert scene.look() == (False, False, None)
    scene.clock.now += 4
    assert scene.look() == (False, False, None)
    scene.scheduler_api.busy = True  # a local rule may make what jobs elsewhere need
    scene.clock.now += 4
    assert scene.look() == (False, False, None)
    scene.scheduler_api.busy = False
    assert scene.look() == (False, False, None)
    scene.clock.now += 6
    assert scene.look(quiet=False) == (False, False, None)
    assert scene.look() == (False, False, None)
    scene.clock.now += 6
    assert scene.look() == (True, True, None)
    assert scene.scheduler_api.errors == ["The run ends: dirac has not answered for 24 h."]


def test_an_outage_hides_no_failure_of_a_job() -> None:
    scene = Scene()
    scene.controller.exhausted = "dirac has not answered for 24 h"
    scene.scheduler_api.has_failed = True
    assert scene.look() == (True, True, None)
    assert scene.scheduler_api.unsaid == []


@pytest.mark.parametrize(("failed", "code"), [(False, 0), (True, 1)])
def test_a_detached_run_ends_when_there_is_nothing_to_do(failed: bool, code: int) -> None:
    scene = Scene(detach=True)
    scene.scheduler_api.has_failed = failed
    assert scene.look() == (True, True, code)
    assert len(scene.scheduler_api.errors) == 1


@pytest.mark.parametrize("what", ["quiet", "at_rest", "busy"])
def test_a_detached_run_goes_on_while_there_is_something_to_do(what: str) -> None:
    scene = Scene(detach=True)
    scene.controller.at_rest = what != "at_rest"
    scene.scheduler_api.busy = what == "busy"
    assert scene.look(quiet=what != "quiet") == GOES_ON
    assert scene.scheduler_api.errors == []


def test_a_detached_run_does_not_wait_long_for_a_server() -> None:
    scene = Scene(detach=True)
    scene.controller.at_rest = False
    # The time counts from the last moment without trouble.
    for later, trouble in ((0, "down"), (59, "down"), (5, ""), (6, "down"), (59, "down")):
        scene.clock.now += later
        scene.controller.trouble = trouble
        assert scene.look() == GOES_ON
    scene.clock.now += 2
    assert scene.look() == (True, True, 1)
    assert scene.abandoned == 1
    assert len(scene.scheduler_api.errors) == 1


def test_a_run_is_ended_once() -> None:
    scene = Scene(detach=True)
    for _ in range(3):
        assert scene.look() == (True, True, 0)
    scene.controller.exhausted = "too late"
    assert scene.look() == (True, True, 0)
    assert len(scene.scheduler_api.errors) == 1


@pytest.mark.parametrize(
    ("options", "crashed", "leaves"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"on_interrupt": "keep"}, False, True),
        ({"on_interrupt": "keep"}, True, True),
        ({"detach": True}, False, True),
    ],
)
def test_what_becomes_of_jobs_when_the_run_is_ended_from_outside(
    options: dict[str, Any], crashed: bool, leaves: bool
) -> None:
    scene = Scene(**options)
    scene.shutdown.interrupted(crashed=crashed)
    assert scene.look() == (True, leaves, None)
    assert scene.scheduler_api.errors == []


def test_jobs_that_were_to_stay_stay_also_when_the_user_interrupts() -> None:
    scene = Scene()
    scene.controller.exhausted = "no answer"
    scene.look()
    scene.shutdown.interrupted(crashed=False)
    assert scene.shutdown.leaves


@pytest.mark.parametrize(("failed", "unsaid"), [(False, True), (True, False)])
def test_a_run_that_leaves_its_jobs_has_not_failed(failed: bool, unsaid: bool) -> None:
    scene = Scene(on_interrupt="keep")
    scene.scheduler_api.has_failed = failed
    scene.shutdown.interrupted(crashed=False)
    assert (
        "At least one job did not complete successfully" in scene.scheduler_api.unsaid
    ) is unsaid


@pytest.mark.parametrize(
    ("options", "quiet"), [({}, False), ({"on_interrupt": "keep"}, True), ({"detach": True}, True)]
)
def test_where_jobs_are_kept_snakemake_does_not_say_that_it_ends_them(
    options: dict[str, Any], quiet: bool
) -> None:
    assert bool(Scene(**options).scheduler_api.unsaid) is quiet


@pytest.mark.parametrize("options", [{}, {"on_interrupt": "keep"}, {"detach": True}])
def test_sigterm_leaves_the_jobs_whatever_ctrl_c_does(options: dict[str, Any]) -> None:
    scene = Scene(**options)
    scene.shutdown.terminate()
    assert scene.look()[:2] == (True, True)
    assert scene.abandoned == 1
    assert "Terminating processes on user request" in scene.scheduler_api.unsaid
    assert scene.finish() == ["leave at once", "close left"]


def test_sigterm_cancels_jobs_that_end_with_the_run() -> None:
    scene = Scene()
    scene.controller.outlives_run = False
    scene.shutdown.terminate()
    assert scene.look()[:2] == (True, False)
    assert scene.finish() == ["cancel", "close cancelled"]


@pytest.mark.parametrize(
    ("failed", "early", "leaves", "done"),
    [
        (False, False, False, ["close finished"]),
        (True, False, False, ["close failed"]),
        (False, True, False, ["cancel", "close cancelled"]),
        (True, True, False, ["cancel", "close cancelled"]),
        (False, True, True, ["leave", "close left"]),
    ],
)
def test_how_a_run_ends(failed: bool, early: bool, leaves: bool, done: list[str]) -> None:
    scene = Scene(on_interrupt="keep" if leaves else "cancel")
    scene.scheduler_api.has_failed = failed
    if early:
        scene.shutdown.interrupted(crashed=False)
    assert scene.finish() == done


def test_jobs_whose_cancellation_is_not_confirmed_are_listed() -> None:
    scene = Scene()
    scene.unconfirmed = ["id-1 (rule a)"]
    scene.shutdown.interrupted(crashed=False)
    scene.finish()
    assert scene.said[0].startswith("Not confirmed to be cancelled: id-1 (rule a).")


def test_the_last_words_of_a_run_that_leaves_its_jobs_say_how_to_continue() -> None:
    scene = Scene(on_interrupt="keep")
    scene.shutdown.interrupted(crashed=False)
    for job in ("a", "b", "a"):  # a retry is no other job
        scene.tally.returned(job)
    scene.finish()
    assert "2 job(s) came back in this run; 1 stay on the grid: id-1 (rule a)" in scene.last
    assert "run the same command again" in scene.last
    assert scene.last.endswith("`snakemake-grid cancel` ends them.")


def test_the_last_words_of_a_run_that_leaves_no_job_name_no_command_for_it() -> None:
    scene = Scene()
    scene.controller.on_the_grid = []
    scene.left_open = 0
    scene.shutdown.terminate()
    scene.finish()
    assert scene.last.endswith("run the same command again in this directory.")


def test_the_last_words_of_a_run_that_is_cancelled_say_so() -> None:
    scene = Scene()
    scene.tally.began(["a", "b"])
    scene.tally.succeeded("a")
    scene.shutdown.interrupted(crashed=False)
    scene.finish()
    assert scene.last == "cancelled; 1 of 2 jobs succeeded."
