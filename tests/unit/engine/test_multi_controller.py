"""Two backends in one run, each of which misbehaves as real ones do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Capacity
from snakemake_executor_plugin_grid.engine import controller as module
from snakemake_executor_plugin_grid.engine.backend_choice import Member
from snakemake_executor_plugin_grid.engine.multi_controller import MultiController
from snakemake_executor_plugin_grid.journal.records import Phase
from snakemake_executor_plugin_grid.model.errors import GridError
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.state import JobState
from snakemake_executor_plugin_grid.model.tracked import Outcome, Plan
from snakemake_executor_plugin_grid.worker.interruption import interrupt_by
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from tests.unit.fickle import IDENTITY, Bench, outputs
from tests.unit.interference import down
from tests.unit.specs import spec

_ROUNDS = 400
A = outputs("a")


class Two:
    """A run with the backends ``first`` and ``second``."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.benches = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            bench = Bench(folder / name, **options)
            bench.backend.name = name
            self.benches.append(bench)
        self.first, self.second = self.benches
        self.said: list[str] = []
        members = [Member(bench.backend, bench.controller) for bench in self.benches]
        self.controller = MultiController(members, self.said.append)

    def submit(self, *names: str, **fields: Any) -> None:
        self.controller.submit(
            [Plan(spec(name, **fields), Runtime("inherit"), identity=IDENTITY) for name in names]
        )

    def poll(self) -> list[Outcome]:
        found = self.controller.call(self.controller.poll())
        for bench in self.benches:
            bench._settle()
            bench._flush()
            bench.clock.advance(0.5)
        return found

    def until(self, done: Callable[[], bool]) -> list[Outcome]:
        found: list[Outcome] = []
        for _ in range(_ROUNDS):
            if done():
                return found
            found += self.poll()
        raise AssertionError((found, self.said, self.first.said, self.second.said))

    def ended(self, *names: str) -> list[Outcome]:
        found: list[Outcome] = []
        for _ in range(_ROUNDS):
            found += self.poll()
            if {outcome.name for outcome in found} == set(names):
                return found
        raise AssertionError((found, self.said, self.first.said, self.second.said))

    def where(self) -> dict[str, str]:
        """Return the backend of each job that was submitted."""
        return {name: bench.backend.name for bench in self.benches for name in bench.backend.jobs}


@pytest.fixture
def two(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Two]:
    for limit in ("_SILENT_WAIT", "_LAST_TRANSFERS", "_LAST_SUBMISSIONS", "_LAST_MOMENT"):
        monkeypatch.setattr(module, limit, 1000.0)
    two = Two(tmp_path, **getattr(request, "param", {}))
    yield two
    two.controller.close()
    interrupt_by()
    for bench in two.benches:
        bench.pool.shutdown()
        assert bench.backend.idle == []
        bench.database.close()


SHORT = pytest.mark.parametrize("two", [{"outage_limit": 30.0}], indirect=True)
LONG = pytest.mark.parametrize("two", [{"outage_limit": 1e6}], indirect=True)


def test_jobs_go_where_their_rules_say(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.submit("j-3", overrides={"backend": "second,first"})
    two.submit("j-4", overrides={"backend": "first elsewhere"})
    two.until(lambda: len(two.controller.on_the_grid) == 4)
    assert two.where() == {"j-1": "first", "j-2": "second", "j-3": "second", "j-4": "first"}
    assert "second id-0 (rule sort (sample=a))" in two.controller.on_the_grid


def test_jobs_that_find_no_room_go_to_the_next(two: Two) -> None:
    two.first.backend.capacity = Capacity(2, 1000)
    two.submit("j-1", "j-2", "j-3")
    two.until(lambda: len(two.controller.on_the_grid) == 3)
    two.submit("j-4")
    two.first.succeed("j-1")
    two.ended("j-1")
    two.submit("j-5")
    two.submit("j-6", resources=Resources(memory_mb=1001))
    two.until(lambda: len(two.where()) == 6)
    where = {"j-1": "first", "j-2": "first", "j-3": "second", "j-4": "second", "j-5": "first"}
    assert two.where() == {**where, "j-6": "second"}


def test_jobs_that_find_no_room_anywhere_wait_where_they_can_run(two: Two) -> None:
    two.first.backend.capacity = Capacity(1, 1000)
    two.second.backend.capacity = Capacity(4, 1000)
    two.submit("j-1", "j-2", resources=Resources(processors=4))
    two.submit("j-3", resources=Resources(processors=4))
    two.submit("j-4", overrides={"backend": "first"}, resources=Resources(processors=4))
    two.until(lambda: len(two.where()) == 4)
    assert [two.where()[f"j-{number}"] for number in (1, 2, 3)] == ["second"] * 3
    assert two.where()["j-4"] == "first"


@LONG
def test_jobs_avoid_a_backend_that_does_not_answer(two: Two) -> None:
    two.submit("j-1")
    two.until(lambda: two.first.backend.asked > 0)
    two.first.backend.asks = down
    two.until(lambda: bool(two.controller.trouble))
    assert two.controller.trouble.startswith("first: fickle does not answer")
    two.submit("j-2")
    two.until(lambda: "j-2" in two.where())
    assert two.where()["j-2"] == "second"


@LONG
def test_an_outage_of_one_does_not_stop_the_other(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: len(two.controller.on_the_grid) == 2)
    two.first.backend.asks = down
    two.second.succeed("j-2")
    (outcome,) = two.ended("j-2")
    assert outcome.success
    two.controller.acknowledge(["j-2"])
    two.until(lambda: two.second.phases() == {"j-2": "succeeded"})
    assert two.controller.active
    assert two.first.phases() == {"j-1": "submitted"}


def test_a_server_that_hangs_does_not_hold_up_the_other(two: Two) -> None:
    hangs, two.first.backend.asks = threading.Event(), lambda: None
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: len(two.controller.on_the_grid) == 2)
    hangs.clear()
    two.first.backend.asks = lambda: hangs.wait(60)
    try:
        two.second.succeed("j-2")
        found: list[Outcome] = []
        for _ in range(_ROUNDS):
            found += two.controller.call(two.controller.poll())
            two.second._flush()
            two.second.clock.advance(0.5)
            two.first.clock.advance(0.5)
            if found:
                break
        assert [outcome.name for outcome in found] == ["j-2"]
    finally:
        hangs.set()


@SHORT
def test_a_run_ends_when_nothing_else_can_go_on(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: two.first.backend.asked > 0 and two.second.backend.asked > 0)
    two.first.backend.asks = down
    two.until(lambda: bool(two.said))
    assert two.said[0].startswith("first: fickle has not answered for 30 s")
    assert two.said[0].endswith("1 job(s) are left there for the next run; others go on.")
    assert two.controller.exhausted == two.controller.stuck == ""
    two.submit("j-3")  # jobs that may run elsewhere do
    two.until(lambda: "j-3" in two.where())
    assert two.where()["j-3"] == "second"
    two.second.succeed("j-2", "j-3")
    two.ended("j-2", "j-3")
    assert two.controller.stuck.startswith("fickle has not answered")
    assert two.controller.exhausted == ""
    two.controller.leave(lambda: False)
    two.controller.close()
    assert two.first.left() == {"j-1": "submitted"}
    assert two.first.backend.cancelled == []
    assert len(two.said) == 1


@SHORT
def test_a_run_ends_at_once_when_no_backend_answers(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: two.first.backend.asked > 0 and two.second.backend.asked > 0)
    two.first.backend.asks = two.second.backend.asks = down
    two.until(lambda: bool(two.controller.exhausted))
    assert two.controller.exhausted.startswith("fickle has not answered")


def test_cancelling_cancels_the_jobs_of_both(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: len(two.controller.on_the_grid) == 2)
    two.second.backend.unconfirmed = {"id-0"}
    left = two.controller.cancel(60.0, lambda: False)
    assert left == ["second id-0 (rule sort (sample=a))"]
    assert two.first.phases() == {"j-1": "cancelled"}
    assert two.second.phases() == {"j-2": "cancelling"}


def test_leaving_leaves_the_jobs_of_both(two: Two) -> None:
    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: two.controller.at_rest and len(two.controller.on_the_grid) == 2)
    two.controller.leave(lambda: False)
    two.controller.close()
    assert two.first.left() == {"j-1": "submitted"}
    assert two.second.left() == {"j-2": "submitted"}
    assert two.first.backend.cancelled == two.second.backend.cancelled == []


def test_a_job_of_an_earlier_run_stays_where_it_is(two: Two) -> None:
    two.second.earlier("e-1", outputs=A)
    two.controller.call(two.controller.check())
    two.submit("j-1", outputs=A, overrides={"backend": "first"})
    two.until(lambda: len(two.controller.on_the_grid) == 1)
    two.until(lambda: two.controller.at_rest)
    assert two.where() == {"e-1": "second"}
    assert two.first.backend.runs == two.second.backend.runs == {}


def test_a_changed_job_of_an_earlier_run_is_cancelled_where_it_is(two: Two) -> None:
    two.second.earlier("e-1", outputs=A, identity="before")
    two.controller.call(two.controller.check())
    two.submit("j-1", outputs=A)
    two.until(lambda: two.second.phases() == {"e-1": "cancelled"})
    two.until(lambda: "j-1" in two.where())
    assert two.where()["j-1"] == "first"
    assert two.second.backend.cancelled == ["id-e-1"]


def test_jobs_on_none_of_the_backends_are_told_of_once(two: Two) -> None:
    for bench, where in ((two.first, "second"), (two.second, "first")):
        bench.earlier("e-1", outputs=A)
        bench.earlier("e-2", state=JobState.QUEUED, phase=Phase.SUBMITTED)
        bench.database.change("UPDATE jobs SET backend='third'", [()])
        bench.database.change("UPDATE jobs SET backend=? WHERE name='e-2'", [(where,)])
    two.controller.call(two.controller.recovery.tell_unreached())
    assert [text for bench in two.benches for text in bench.said] == [
        "1 job(s) of earlier runs are on third (), which this run does not reach: they stay as "
        "they are (snakemake-grid cancel ends them)."
    ]


def test_an_error_at_the_start_names_the_backend(two: Two) -> None:
    def refuse() -> None:
        raise GridError("who are you?")

    two.second.backend.checks = refuse
    with pytest.raises(GridError, match="second: who are you"):
        two.controller.call(two.controller.check())


def test_a_bug_in_one_leaves_its_jobs_and_no_others(two: Two) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    two.submit("j-1")
    two.submit("j-2", overrides={"backend": "second"})
    two.until(lambda: len(two.controller.on_the_grid) == 2)
    two.first.backend.asks = broken
    two.until(lambda: bool(two.said))
    assert "broken" in two.said[0]
    two.second.succeed("j-2")
    two.ended("j-2")
    assert "broken" in two.controller.stuck
