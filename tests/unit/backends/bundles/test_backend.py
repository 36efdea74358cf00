"""Bundles: submitted once, followed job by job, found again, cancelled and released."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, Submitted
from snakemake_executor_plugin_grid.model.errors import DiskFullError, TransientError
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.model.state import JobState, JobStatus
from snakemake_executor_plugin_grid.worker.environment import STORE_TOKEN

from .bundle_bench import Bench, members, names, payloads

T = TypeVar("T")

A, B, C, D = names(4)
BUNDLE = "a_x3-0123abcd-1"
RUNNING = JobStatus(JobState.RUNNING, "running", "CERN")


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(tmp_path, **getattr(request, "param", {}))
    yield made
    made.database.close()


def run(call: Awaitable[T]) -> T:
    async def wait() -> T:
        return await call

    return asyncio.run(wait())


def submit(bench: Bench, *jobs: str, **fields: Any) -> list[str]:
    answers = run(bench.backend.submit(payloads(*jobs, **fields)))
    assert all(isinstance(answer, Submitted) for answer in answers)
    return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]


def states(bench: Bench, *ids: str) -> list[JobState]:
    found = run(bench.backend.states(ids))
    return [found[one].state for one in ids]


def cancel_list(bench: Bench) -> Path:
    """Return the file that the worker of the first bundle reads."""
    description = json.loads(bench.system.payloads[BUNDLE].description)
    return Path(urlsplit(description["cancel_list"]).path)


def test_jobs_of_a_bundle_are_one_job_of_the_system(bench: Bench) -> None:
    ids = submit(bench, A, B, C, D)
    assert bench.system.called("submit") == [[BUNDLE, D]]
    assert ids == [f"1/{A}", f"1/{B}", f"1/{C}", "2"]
    payload = bench.system.payloads[BUNDLE]
    assert members(payload) == [A, B, C]
    sent = json.loads(payload.description)
    assert {one["report_to"] for one in sent["members"]} == {
        (bench.store.folder / "delivered" / job).as_uri() for job in (A, B, C)
    }


def test_secrets_stay_apart_from_the_description(bench: Bench) -> None:
    submit(bench, A, B, C, environment={"TOKEN": "p4ss", STORE_TOKEN: "of the store"})
    payload = bench.system.payloads[BUNDLE]
    assert "p4ss" not in payload.description
    assert json.loads(payload.spec.environment[A])["TOKEN"] == "p4ss"
    assert payload.spec.environment[STORE_TOKEN] == "of the store"


def test_a_bundle_may_run_though_the_system_does_not_know_it(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    bench.system.statuses["1"] = JobStatus(JobState.AT_SITE)
    bench.report(A)
    assert states(bench, *ids) == [JobState.DONE, JobState.AT_SITE, JobState.AT_SITE]


def test_each_job_ends_when_its_report_is_there(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    assert states(bench, *ids) == [JobState.QUEUED] * 3
    bench.system.statuses["1"] = RUNNING
    assert states(bench, *ids) == [JobState.RUNNING, JobState.AT_SITE, JobState.AT_SITE]
    bench.report(A)
    assert states(bench, *ids) == [JobState.DONE, JobState.RUNNING, JobState.AT_SITE]
    folder = bench.folder / "incoming"
    folder.mkdir()
    run(bench.backend.retrieve(ids[0], folder))
    assert load_report(folder / "report.json").name == A
    assert (folder / "payload.log").read_text() == f"log of {A}\n"


@pytest.mark.parametrize(
    "error",
    [
        TransientError("the store is away"),
        DiskFullError("the store is away"),
        OSError(errno.ENOSPC, "the store is away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_store_that_is_away_is_told_once_and_changes_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ids = submit(bench, A, B, C)
    bench.system.statuses["1"] = RUNNING

    def away(*_: object) -> bool:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "fetch_file", away)
        for _ in range(2):
            assert states(bench, *ids) == [JobState.RUNNING, JobState.AT_SITE, JobState.AT_SITE]
        bench.system.statuses["1"] = JobStatus(JobState.DONE)
        assert states(bench, *ids) == [JobState.RUNNING] * 3
    assert len(bench.said) == 1
    assert "the store is away" in bench.said[0] or "is full" in bench.said[0]
    for job in (A, B, C):
        bench.report(job)
    assert states(bench, *ids) == [JobState.DONE] * 3


def test_a_lost_bundle_loses_only_jobs_without_a_report(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    bench.system.statuses["1"] = RUNNING
    bench.report(A)
    bench.report(C)  # while nobody asked
    bench.system.statuses["1"] = JobStatus(JobState.FAILED, "stalled", "CERN")
    found = run(bench.backend.states(ids))
    assert [found[one].state for one in ids] == [JobState.DONE, JobState.FAILED, JobState.DONE]
    lost = found[ids[1]]
    assert "stalled" in lost.detail
    assert bench.backend.blames_site(lost, "")
    assert not bench.backend.blames_site(lost, "payload failed")


def test_a_bundle_that_somebody_cancelled_is_not_sent_again(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    bench.system.statuses["1"] = JobStatus(JobState.CANCELLED, "killed by somebody")
    found = run(bench.backend.states(ids))
    assert {found[one].state for one in ids} == {JobState.CANCELLED}
    assert not bench.backend.blames_site(found[ids[0]], "")


def test_a_job_without_report_or_log_tells_what_the_system_knows(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    (bench.folder / "incoming").mkdir()
    run(bench.backend.retrieve(ids[1], bench.folder / "incoming"))
    log = (bench.folder / "incoming" / "payload.log").read_text()
    assert log == "what the system knows of 1\n"


@pytest.mark.parametrize("bench", [{"in_sandbox": True}], indirect=True)
def test_results_that_come_with_the_bundle(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    assert not json.loads(bench.system.payloads[BUNDLE].description)["reports_apart"]
    bench.system.statuses["1"] = RUNNING
    assert states(bench, *ids) == [JobState.RUNNING, JobState.AT_SITE, JobState.AT_SITE]
    bench.results("1", BUNDLE, A, C)
    bench.system.statuses["1"] = JobStatus(JobState.DONE, "", "CERN")
    assert states(bench, *ids) == [JobState.DONE, JobState.FAILED, JobState.DONE]
    for one, job in ((ids[0], A), (ids[2], C)):
        folder = bench.folder / job
        folder.mkdir()
        run(bench.backend.retrieve(one, folder))
        report = load_report(folder / "report.json")
        assert report.name == job
        (digest,) = report.blobs
        assert f"output of {job}".encode() in (folder / "out" / digest).read_bytes()
        assert (folder / "payload.log").read_text() == f"log of {job}\n"
    assert len(bench.system.called("retrieve")) == 1


@pytest.mark.parametrize("bench", [{"in_sandbox": True}], indirect=True)
@pytest.mark.parametrize("what", ["name", "tarball"])
def test_results_of_a_lying_worker_count_as_missing(bench: Bench, what: str) -> None:
    ids = submit(bench, A, B, C)
    bench.results("1", BUNDLE if what == "tarball" else "other-0123abcd-9", A)
    if what == "tarball":
        out = bench.system.results["1"] / "out"
        (archive,) = [path for path in out.iterdir() if path.name != bench.delivered[A]]
        archive.write_bytes(archive.read_bytes().replace(b"log of", b"lie of"))
    bench.system.statuses["1"] = JobStatus(JobState.DONE)
    assert states(bench, *ids) == [JobState.FAILED] * 3


@pytest.mark.parametrize("bench", [{"in_sandbox": True}], indirect=True)
def test_outputs_that_a_failed_bundle_did_not_store_are_lost(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    bench.results("1", BUNDLE, A, B, reason="killed")
    # It was to go to a storage element.
    (bench.system.results["1"] / "out" / bench.delivered[A]).unlink()
    bench.system.statuses["1"] = JobStatus(JobState.FAILED)
    assert states(bench, *ids) == [JobState.FAILED, JobState.DONE, JobState.FAILED]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer(bench: Bench, arrives: bool) -> None:
    bench.system.loses, bench.system.arrives = True, arrives
    with pytest.raises(TransientError):
        submit(bench, A, B, C, D)
    found = run(bench.backend.adopt([A, B, C, D]))
    if arrives:
        assert found == {A: f"1/{A}", B: f"1/{B}", C: f"1/{C}", D: "2"}
    else:
        assert found == {}
        # The same jobs go into the same bundle: the system may have it after all.
        assert submit(bench, D, C, B, A)[0] == "2"
        assert members(bench.system.payloads[BUNDLE]) == [A, B, C]


def test_the_next_run_finds_each_job(bench: Bench) -> None:
    ids = submit(bench, A, B, C, D)
    bench.backend = bench.again()
    assert run(bench.backend.find([A, B, C, D])) == dict(zip((A, B, C, D), ids, strict=True))
    bench.system.statuses["1"] = RUNNING
    bench.report(A)
    assert states(bench, *ids[:3]) == [JobState.DONE, JobState.RUNNING, JobState.AT_SITE]


def test_a_bundle_is_cancelled_when_no_job_is_wanted(bench: Bench) -> None:
    a, b, c, d = submit(bench, A, B, C, D)
    assert run(bench.backend.cancel([a, d])) == {a}
    assert bench.system.called("cancel") == [["2"]]
    bench.system.statuses["1"] = RUNNING
    bench.report(A)
    bench.report(B)
    states(bench, a, b, c)
    assert run(bench.backend.cancel([a])) == set()
    assert run(bench.backend.cancel([c])) == set()  # the others have ended
    assert bench.system.called("cancel")[-1] == ["1"]


def test_the_worker_sees_which_jobs_of_its_bundle_are_cancelled(bench: Bench) -> None:
    a, b, c = submit(bench, A, B, C)
    file = cancel_list(bench)
    assert json.loads(file.read_text()) == []
    assert run(bench.backend.cancel([b])) == {b}
    assert json.loads(file.read_text()) == [B]
    other = bench.again()  # such as `snakemake-grid cancel`
    assert run(other.cancel([a])) == {a}
    assert json.loads(file.read_text()) == [A, B]
    assert bench.system.called("cancel") == []
    assert run(bench.backend.cancel([c])) == set()  # the worker has the others from the list
    assert bench.system.called("cancel") == [["1"]]
    run(bench.backend.discard([a, b, c]))
    assert not file.exists()


@pytest.mark.parametrize("text", ["no JSON", "7", "{", "[[1]]"])
def test_a_damaged_list_of_cancelled_jobs_is_written_anew(bench: Bench, text: str) -> None:
    _, b, _ = submit(bench, A, B, C)
    file = cancel_list(bench)
    file.write_text(text)
    assert run(bench.backend.cancel([b])) == {b}
    assert B in json.loads(file.read_text())


def test_a_store_that_is_away_keeps_no_other_job_from_being_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, _, _, d = submit(bench, A, B, C, D)

    def away(*_: object) -> str:
        raise TransientError("away")

    monkeypatch.setattr(bench.store, "post", away)
    assert run(bench.backend.cancel([a, d])) == {a}
    assert bench.system.called("cancel") == [["2"]]
    assert bench.said == [f"The worker of bundle {BUNDLE} does not hear of this: away"]


def test_a_cancellation_that_is_not_confirmed(bench: Bench) -> None:
    ids = submit(bench, A, B, C)
    bench.system.stuck = {"1"}
    assert run(bench.backend.cancel(ids)) == set(ids)


def test_a_bundle_is_released_with_its_last_job(bench: Bench) -> None:
    ids = submit(bench, A, B, C, D)
    run(bench.backend.discard([ids[0], ids[3]]))
    run(bench.backend.discard(ids[1:3]))
    assert bench.system.called("discard") == [["2"], ["1"]]
    assert run(bench.backend.find([A])) == {}


def test_jobs_that_never_arrived_are_forgotten(bench: Bench) -> None:
    bench.system.loses, bench.system.arrives = True, False
    with pytest.raises(TransientError):
        submit(bench, A, B, C, D)
    run(bench.backend.forget([A, B, C, D]))
    assert bench.system.called("forget") == [sorted([BUNDLE, D])]


@pytest.mark.parametrize("bench", [{"size": "auto", "spread": 1}], indirect=True)
def test_auto_learns_from_earlier_jobs(bench: Bench) -> None:
    assert submit(bench, A, B) == ["1", "2"]
    bench.seconds["a"] = 1.0
    assert submit(bench, C, D) == [f"3/{C}", f"3/{D}"]


@pytest.mark.parametrize("bench", [{"size": "auto", "spread": 1}], indirect=True)
@pytest.mark.parametrize(
    ("now", "sizes"),
    [(RUNNING, [6]), (JobStatus(JobState.DONE), [3, 3])],
    ids=["in use", "free again"],
)
def test_auto_fills_free_slots_before_bundles_become_larger(
    bench: Bench, now: JobStatus, sizes: list[int]
) -> None:
    submit(bench, A, B)
    for status in (RUNNING, now):
        bench.system.statuses = {"1": status, "2": status}
        states(bench, "1", "2")
    bench.seconds["a"] = 1.0
    submit(bench, *[f"a-0123abcd-{n}" for n in range(11, 17)])
    made = bench.system.called("submit")[1]
    assert [len(members(bench.system.payloads[one])) for one in made] == sizes


def test_what_the_system_does_not_bundle_stays_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def may_bundle(payload: Payload) -> bool:
        return payload.spec.name != B

    monkeypatch.setattr(bench.system, "may_bundle", may_bundle)
    assert sorted(submit(bench, A, B, C)) == sorted(["1", f"2/{A}", f"2/{C}"])


@pytest.mark.parametrize("bench", [{"size": "auto", "spread": 3}], indirect=True)
def test_what_was_tried_alone_is_tried_alone_again(bench: Bench) -> None:
    bench.seconds["a"] = 1.0
    bench.system.loses, bench.system.arrives = True, False
    with pytest.raises(TransientError):
        submit(bench, A, B, C)
    assert submit(bench, A, B, C) == ["1", "2", "3"]
    assert bench.system.called("submit") == [[A, B, C]] * 2
