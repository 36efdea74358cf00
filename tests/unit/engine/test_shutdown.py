"""When a run ends early, whether its jobs stay, and what its exit code is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

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


class Scene:
    """A departure of a run that the test describes."""

    def __init__(self, **options: Any) -> None:
        self.abandoned = 0
        self.controller = SimpleNamespace(
            exhausted="", at_rest=True, trouble="", abandon=self._abandon
        )
        self.scheduler_api = SchedulerApi()
        run = SimpleNamespace(controller=self.controller, scheduler_api=self.scheduler_api)
        self.clock = VirtualClock()
        self.shutdown = Shutdown(ExecutorSettings(**options), cast("Run", run), self.clock)

    def _abandon(self) -> None:
        self.abandoned += 1

    def look(self, *, quiet: bool = True) -> tuple[bool, bool, int | None]:
        self.shutdown.look(quiet=quiet)
        return self.shutdown.ending, self.shutdown.leaves, self.shutdown.exit_code


GOES_ON = (False, False, None)


@pytest.fixture(autouse=True)
def _former_handler() -> Iterator[None]:
    former = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, former)


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
    ("options", "heeded"), [({}, False), ({"on_interrupt": "keep"}, True), ({"detach": True}, True)]
)
def test_sigterm_does_what_ctrl_c_does_where_jobs_are_kept(
    options: dict[str, Any], heeded: bool
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    scene = Scene(**options)
    scene.shutdown.heed_signals()
    after = signal.default_int_handler if heeded else before
    assert signal.getsignal(signal.SIGTERM) is after
    assert bool(scene.scheduler_api.unsaid) is heeded


def test_signals_are_left_alone_in_other_threads() -> None:
    before = signal.getsignal(signal.SIGTERM)
    scene = Scene(on_interrupt="keep")
    thread = threading.Thread(target=scene.shutdown.heed_signals)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
