"""Leaving the jobs at once, as SIGTERM asks for."""

from __future__ import annotations

import pytest

from tests.unit.fickle import Bench
from tests.unit.interference import Gate


def test_jobs_that_are_not_submitted_yet_are_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing, prepare = Gate(), bench.controller._upload.prepare

    def prepares(specs: object) -> object:
        packing()
        return prepare(specs)  # type: ignore[arg-type]  # as it is called

    monkeypatch.setattr(bench.controller._upload, "prepare", prepares)
    bench.submit("j-1")
    assert packing.reached()
    began = bench.clock.monotonic()
    bench.controller.leave(lambda: False, at_once=True)
    assert bench.clock.monotonic() - began < 10
    packing.open()
    bench.controller.close()
    assert bench.backend.runs == {}
    assert bench.left() == {}


def test_jobs_that_are_being_submitted_are_known_to_the_next_run(bench: Bench) -> None:
    bench.backend.answer = gate = Gate()
    bench.submit("j-1")
    assert gate.reached()
    bench.controller.leave(gate.open_later, at_once=True)
    bench.controller.close()
    assert bench.controller.on_the_grid == ["id-0 (rule sort (sample=a))"]
    assert bench.left() == {"j-1": "submitted"}


def test_transfers_are_broken_off_without_a_word(bench: Bench) -> None:
    bench.submit("j-1")
    fetching = Gate()
    bench.outputs.fetch = lambda _: fetching()  # type: ignore[method-assign]  # hangs
    bench.succeed("j-1")
    bench.wait_for(fetching._came.is_set)
    bench.controller.leave(lambda: False, at_once=True)
    assert not bench.controller.close(lambda: True)
    fetching.open()
    assert not any("transfers" in text for text in bench.said)
    assert bench.left() == {"j-1": "submitted"}
