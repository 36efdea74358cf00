"""Cancelling a run while its jobs are being submitted, waited for, or judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import pytest

from snakemake_executor_plugin_grid.model.errors import CredentialsError
from tests.unit.fickle import Bench, outputs
from tests.unit.interference import DOWN, Gate

EXPIRED = CredentialsError("the proxy has expired; run 'renew'.")


def told(bench: Bench) -> str:
    """Return what is said of the jobs at last."""
    return bench.said[-1]


def test_a_job_that_is_being_judged_is_not_sent_again(bench: Bench) -> None:
    bench.submit("j-1")
    bench.fault("j-1")
    bench.backend.fetches = gate = Gate()
    asyncio.run_coroutine_threadsafe(bench.controller.poll(), bench.controller.loop)
    assert gate.reached()
    assert bench.controller.cancel(1000, gate.open_later) == []
    bench.controller.close()
    assert bench.backend.runs == {"j-1": 1}
    assert bench.phases() == {"j-1": "failed"}


def test_a_job_that_is_to_be_sent_again_is_not_sent_after_cancelling(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit("j-1")
    packing = Gate()
    prepare = bench.controller._upload.prepare
    bench.wait_for(lambda: "j-1" in bench.backend.jobs)

    def prepares(specs: object) -> object:
        packing()
        return prepare(specs)  # type: ignore[arg-type]  # as it is called

    monkeypatch.setattr(bench.controller._upload, "prepare", prepares)
    bench.fault("j-1")
    bench.wait_for(packing._came.is_set)
    assert bench.controller.cancel(1000, lambda: False) == []
    packing.open()
    bench.controller.close()
    assert bench.backend.runs == {"j-1": 1}
    assert told(bench) == "1 had not been submitted."


def test_only_jobs_that_were_on_the_grid_count_as_cancelled(bench: Bench) -> None:
    bench.submit("j-1", "j-2")
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 2)

    def expired() -> None:
        raise EXPIRED

    bench.backend.credentials = expired
    bench.submit("j-3", "j-4", "j-5")
    bench.wait_for(lambda: bool(bench.controller.trouble))
    assert bench.controller.cancel(1000, lambda: False) == []
    bench.controller.close()
    assert told(bench) == "2 job(s) cancelled, 3 had not been submitted."
    assert sorted(bench.backend.runs) == ["j-1", "j-2"]


def test_a_submission_that_is_answered_too_late_is_cancelled_all_the_same(bench: Bench) -> None:
    bench.backend.answer = gate = Gate()
    bench.submit("j-1")
    assert gate.reached()
    assert bench.controller.cancel(1000, lambda: True) == []
    assert told(bench).startswith("1 may have been submitted")
    gate.open()
    bench.controller.close()
    assert bench.backend.cancelled == ["id-0"]
    assert bench.phases() == {"j-1": "cancelled"}


def fails(_: Collection[str]) -> set[str]:
    raise DOWN


def confirms(_: Collection[str]) -> set[str]:
    return set()


@pytest.mark.parametrize(("first", "left"), [(confirms, 0), (fails, 1)])
def test_what_lands_meanwhile_is_cancelled_even_if_the_first_call_fails(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    first: Callable[[Collection[str]], set[str]],
    left: int,
) -> None:
    bench.submit("j-1", outputs=outputs("a"))
    bench.wait_for(lambda: len(bench.controller.on_the_grid) == 1)
    bench.backend.answer = gate = Gate()
    calls: list[list[str]] = []

    async def cancel(ids: Collection[str]) -> set[str]:
        calls.append(list(ids))
        return first(ids) if len(calls) == 1 else set()

    monkeypatch.setattr(bench.backend, "cancel", cancel)
    bench.submit("j-2", outputs=outputs("b"))
    assert gate.reached()
    assert len(bench.controller.cancel(1000, gate.open_later)) == left
    assert calls == [["id-0"], ["id-1"]]
    assert told(bench) == f"{2 - left} job(s) cancelled."
