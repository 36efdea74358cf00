from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, SubmitError, Submitted
from snakemake_executor_plugin_grid.backends.dirac import DiracBackend
from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.jobspec import Resources
from snakemake_executor_plugin_grid.states import UNKNOWN, JobState, JobStatus
from snakemake_executor_plugin_grid.stores.spool import SpoolStore
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob
from tests.unit.fake_dirac import FakeDirac
from tests.unit.specs import spec

T = TypeVar("T")
DOWN = TransientError("Connection refused")


class Bench:
    """A backend with a small DIRAC behind it."""

    def __init__(self, folder: Path, options: Options, fetch_inputs: bool = False) -> None:
        self.dirac = FakeDirac(folder)
        client = cast(Client, self.dirac)
        self.worker = folder / "worker.zip"
        self.worker.write_bytes(b"worker")
        self.spool = SpoolStore(folder / "spool", self.dirac.sandbox_limit, "")
        self.spool.check()
        self.backend = DiracBackend(client, options, fetch_inputs=fetch_inputs)
        self.backend.carry(self.spool, folder / "sandboxes", lambda: "/vo/user/m/me/delivered")

    def blob(self, content: bytes, size: int | None = None) -> Blob:
        digest = hashlib.sha256(content).hexdigest()
        self.spool.path(digest).write_bytes(content)
        return Blob(digest, len(content) if size is None else size)

    def payload(
        self, number: int, blobs: Iterable[Blob] = (), avoid: str = "", **fields: Any
    ) -> Payload:
        job = spec(name(number), **fields)
        description = json.dumps({"number": number})
        return Payload(job, description, tuple(blobs), self.worker, frozenset(avoid.split()))

    def submit(self, *payloads: Payload) -> list[Submitted | SubmitError]:
        return asyncio.run(self.backend.submit(payloads))

    def submitted(self, count: int) -> list[str]:
        answers = self.submit(*map(self.payload, range(count)))
        assert all(isinstance(answer, Submitted) for answer in answers)
        return [answer.grid_id for answer in answers if isinstance(answer, Submitted)]

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(coroutine)


def name(number: int) -> str:
    return f"sort-0000beef-{number}"


def names(*numbers: int) -> list[str]:
    return [name(number) for number in numbers]


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, **{"options": Options(), **getattr(request, "param", {})})


def test_jobs_are_created_in_chunks_and_confirmed(bench: Bench) -> None:
    bench.dirac.max_parametric = 4
    ids = bench.submitted(10)
    jobs = bench.dirac.jobs
    assert [jobs[int(grid_id)].name for grid_id in ids] == names(*range(10))
    assert {job.status for job in jobs.values()} == {"Waiting"}
    assert {job.group for job in jobs.values()} == {"snakemake-0000beef"}
    assert bench.dirac.counts["create"] == 3


def test_a_server_that_allows_fewer_than_its_configuration_says_is_believed(bench: Bench) -> None:
    bench.dirac.allowed = 4
    assert len(bench.submitted(10)) == 10
    assert sorted(job.name for job in bench.dirac.jobs.values()) == names(*range(10))
    assert bench.dirac.counts["create"] == 4  # the refused one and three
    bench.submit(*(bench.payload(number) for number in range(20, 28)))
    assert bench.dirac.counts["create"] == 6


def test_a_server_that_allows_no_job_refuses_them(bench: Bench) -> None:
    bench.dirac.allowed = 0
    answers = bench.submit(bench.payload(1), bench.payload(2))
    assert answers == [SubmitError("Number of parametric jobs exceeds the limit of 0")] * 2
    assert bench.dirac.counts["create"] == 1


def test_jobs_that_ask_for_different_things_are_in_different_chunks(bench: Bench) -> None:
    large = Resources(memory_mb=4000)
    data = [Blob("a" * 64, 9, url="lfn:/vo/a"), Blob("b" * 64, 9, url="lfn:/vo/b")]
    bench.submit(
        bench.payload(0),
        bench.payload(1, resources=large),
        bench.payload(2),
        bench.payload(3, data[:1]),
        bench.payload(4, data),
        bench.payload(5, data[1:]),
        bench.payload(6, overrides={"site": "DIRAC.A.test"}),
    )
    chunks = [bench.dirac.jobs[args[0][0]].jdl for args in bench.dirac.args_of("confirm")]
    sets = [sorted(n for n in range(7) if f'"{name(n)}"' in jdl) for jdl in chunks]
    assert sorted(sets) == [[0, 2], [1], [3, 5], [4], [6]]
    assert all("MinRAM" not in bench.dirac.named(name(number))[0].jdl for number in (0, 2, 3))
    assert "MinRAM = 4000" in bench.dirac.named(name(1))[0].jdl
    assert '"LFN:/vo/a","LFN:/vo/b"' in bench.dirac.named(name(4))[0].jdl


@pytest.mark.parametrize("bench", [{"fetch_inputs": True}], indirect=True)
def test_workers_that_fetch_their_inputs_have_no_input_data(bench: Bench) -> None:
    bench.submit(bench.payload(0, [Blob("a" * 64, 9, url="lfn:/vo/a")]), bench.payload(1))
    assert "InputData" not in bench.dirac.jobs[1].jdl
    assert bench.dirac.counts["create"] == 1


def test_a_resource_that_cannot_go_into_a_jdl_fails_its_job_alone(bench: Bench) -> None:
    bad = bench.payload(1, overrides={"platform": 'x";y'})
    first, refused, last = bench.submit(bench.payload(0), bad, bench.payload(2))
    assert (first, last) == (Submitted("1"), Submitted("2"))
    assert isinstance(refused, SubmitError)
    assert "grid_platform" in refused.message


def test_a_refused_chunk_leaves_the_others(bench: Bench) -> None:
    bench.dirac.max_parametric = 2
    bench.dirac.errors["create"] = [PermanentError("Invalid sites: X")]
    answers = bench.submit(*map(bench.payload, range(4)))
    assert answers[:2] == [SubmitError("Invalid sites: X")] * 2
    assert answers[2:] == [Submitted("1"), Submitted("2")]


def test_jobs_that_are_not_as_many_as_were_sent_do_not_run(bench: Bench) -> None:
    bench.dirac.create = lambda jdl: [1]  # type: ignore[method-assign]
    answers = bench.submit(bench.payload(0), bench.payload(1))
    assert answers == [SubmitError("DIRAC has made 1 jobs of 2")] * 2
    assert bench.dirac.counts["confirm"] == 0


@pytest.mark.parametrize("call", ["create", "confirm"])
@pytest.mark.parametrize("lost", [False, True])
def test_after_an_error_the_jobs_of_each_name_run_once(
    bench: Bench, call: str, lost: bool
) -> None:
    (bench.dirac.lost if lost else bench.dirac.errors)[call] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0), bench.payload(1))
    adopted = dict(bench.call(bench.backend.adopt([name(0), name(1)])))
    expected = {} if call == "create" and not lost else {name(0): "1", name(1): "2"}
    assert adopted == expected
    assert all(job.status == "Waiting" for job in bench.dirac.jobs.values())


def test_looking_for_jobs_changes_nothing(bench: Bench) -> None:
    bench.dirac.lost["create"] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0), bench.payload(1))
    before = [job.status for job in bench.dirac.jobs.values()]
    assert bench.call(bench.backend.find([name(0), name(9)])) == {name(0): "1"}
    assert [job.status for job in bench.dirac.jobs.values()] == before == ["Submitting"] * 2


def test_of_jobs_with_one_name_the_confirmed_one_stays(bench: Bench) -> None:
    bench.dirac.lost["create"] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0))
    bench.submit(bench.payload(0))
    bench.submit(bench.payload(0))
    assert bench.call(bench.backend.find([name(0)])) == {name(0): "2"}
    assert bench.call(bench.backend.adopt([name(0)])) == {name(0): "2"}
    assert [job.status for job in bench.dirac.jobs.values()] == ["Killed", "Waiting", "Killed"]


def test_of_jobs_with_one_name_that_all_wait_the_first_is_confirmed(bench: Bench) -> None:
    bench.dirac.lost["create"] = [DOWN, DOWN]
    for _ in range(2):
        with pytest.raises(TransientError):
            bench.submit(bench.payload(0))
    assert bench.call(bench.backend.adopt([name(0)])) == {name(0): "1"}
    assert [job.status for job in bench.dirac.jobs.values()] == ["Waiting", "Killed"]


def test_jobs_that_the_server_gave_up_or_somebody_deleted_are_not_found(bench: Bench) -> None:
    bench.submitted(3)
    bench.dirac.jobs[1].status = "Failed"
    bench.dirac.jobs[1].minor = "Bulk transaction confirmation"
    bench.dirac.jobs[2].status = "Deleted"
    bench.dirac.jobs[3].status = "Failed"
    assert bench.call(bench.backend.adopt(names(0, 1, 2))) == {name(2): "3"}


def test_jobs_of_several_runs_are_found_and_resubmissions_too(bench: Bench) -> None:
    others = ["a-b-1234abcd-7.2", "sort-0000beef-0.1"]
    jobs = [Payload(spec(other), "{}", (), bench.worker) for other in others]
    bench.submit(*jobs, bench.payload(0))
    assert bench.call(bench.backend.find(others)) == {others[0]: "1", others[1]: "2"}
    assert bench.dirac.args_of("jobs_of") == [("snakemake-0000beef",), ("snakemake-1234abcd",)]
    with pytest.raises(ValueError, match="does not tell its run"):
        bench.call(bench.backend.find(["nobody"]))


def test_states_are_asked_for_a_thousand_at_a_time(bench: Bench) -> None:
    bench.dirac.max_parametric = bench.dirac.allowed = 3000
    ids = bench.submitted(2500)
    statuses = bench.call(bench.backend.states(ids))
    assert len(statuses) == 2500
    assert [len(args[0]) for args in bench.dirac.args_of("states")] == [1000, 1000, 500]
    assert bench.dirac.counts["sites"] == 0  # all wait


def test_ids_that_the_server_does_not_know_are_left_out(bench: Bench) -> None:
    (known,) = bench.submitted(1)
    assert bench.call(bench.backend.states([known, "77"])).keys() == {known}


def test_sites_are_asked_for_once_and_again_after_a_reschedule(bench: Bench) -> None:
    ids = bench.submitted(3)
    bench.call(bench.backend.states(ids))
    for number in (1, 2):
        bench.dirac.jobs[number].status, bench.dirac.jobs[number].site = "Running", "DIRAC.A.test"
    for _ in range(3):
        statuses = bench.call(bench.backend.states(ids))
        assert [statuses[grid_id].site for grid_id in ids] == ["DIRAC.A.test"] * 2 + [""]
    assert bench.dirac.args_of("sites") == [([1, 2],)]
    assert bench.dirac.counts["states"] == 4
    bench.dirac.jobs[1].status = "Rescheduled"
    bench.call(bench.backend.states(ids))
    bench.dirac.jobs[1].status, bench.dirac.jobs[1].site = "Running", "DIRAC.B.test"
    assert bench.call(bench.backend.states(ids))["1"].site == "DIRAC.B.test"


def test_the_site_of_a_job_that_failed_at_once_is_told(bench: Bench) -> None:
    ids = bench.submitted(1)
    job = bench.dirac.jobs[1]
    job.status, job.minor, job.site = "Failed", "Job stalled: pilot not running", "DIRAC.A.test"
    (status,) = bench.call(bench.backend.states(ids)).values()
    assert (status.state, status.site) == (JobState.FAILED, "DIRAC.A.test")
    assert status.infrastructure
    assert bench.backend.blames_site(status, "")


def test_a_killed_job_that_comes_back_has_not_ended(bench: Bench) -> None:
    ids = bench.submitted(1)
    for dirac, state in (("Killed", JobState.RUNNING), ("Running", JobState.RUNNING)):
        bench.dirac.jobs[1].status = dirac
        assert bench.call(bench.backend.states(ids))["1"].state is state
    bench.dirac.jobs[1].status, bench.dirac.jobs[1].minor = "Failed", "Received Kill signal"
    assert bench.call(bench.backend.states(ids))["1"].state is JobState.CANCELLED


def test_what_was_not_killed_and_has_not_ended_is_not_confirmed(bench: Bench) -> None:
    ids = bench.submitted(4)
    bench.dirac.jobs[2].status = "Done"
    kill = bench.dirac.kill
    bench.dirac.kill = lambda ids: kill([n for n in ids if n != 3])  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel([*ids, "77"][:4])) == {"3"}
    assert [bench.dirac.jobs[number].status for number in (1, 4)] == ["Killed"] * 2
    assert len(bench.dirac.args_of("kill")) == 1


def test_jobs_that_the_server_no_longer_has_count_as_cancelled(bench: Bench) -> None:
    bench.dirac.kill = lambda ids: []  # type: ignore[method-assign]
    assert bench.call(bench.backend.cancel(["77"])) == set()


DIGEST = "5" * 64


def test_report_log_and_blobs_are_put_where_the_landing_looks(bench: Bench, tmp_path: Path) -> None:
    (grid_id,) = bench.submitted(1)
    bench.dirac.jobs[1].sandbox = {
        "report.json": b"{}",
        "payload.log": b"it said",
        f"{DIGEST}.blob": b"blob",
        "short.blob": b"no digest",
    }
    folder = tmp_path / "incoming"
    folder.mkdir()
    bench.call(bench.backend.retrieve(grid_id, folder))
    found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert found == {
        "report.json": "{}",
        "payload.log": "it said",
        f"out/{DIGEST}": "blob",
        "short.blob": "no digest",
    }
    assert bench.dirac.counts["history"] == 0
    assert bench.call(bench.backend.logs(grid_id)).startswith("it said--- ")


def test_of_a_job_without_a_report_the_log_is_what_the_server_knows(
    bench: Bench, tmp_path: Path
) -> None:
    (grid_id,) = bench.submitted(1)
    job = bench.dirac.jobs[1]
    job.sandbox = {"std.out": b"out of\nwrapper\n", "std.err": b"error\n"}
    job.history = [
        ["Received", "Job accepted", "Unknown", "2026-11-21 03:00:00", "JobManager"],
        ["Failed", "Stalled", "idem", "2026-11-21 03:09:00", "StalledJobAgent"],
    ]
    bench.call(bench.backend.retrieve(grid_id, tmp_path))
    assert (tmp_path / "payload.log").read_text() == (
        "--- std.out\nout of\nwrapper\n--- std.err\nerror\n"
        "--- DIRAC on job 1: time, source, status, reason\n"
        "2026-11-21 03:00:00  JobManager: Received, Job accepted\n"
        "2026-11-21 03:09:00  StalledJobAgent: Failed, Stalled\n"
    )
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("reason", "infrastructure", "blamed"),
    [
        ("", True, True),
        ("", False, False),
        (reports.PAYLOAD_FAILED, True, False),
        (reports.SUCCESS, True, False),
        (reports.OUTPUT_TOO_LARGE, True, False),
        (reports.INPUT_DAMAGED, False, True),
        (reports.NO_RUNTIME, False, True),
        (reports.WORKER_FAILED, False, True),
    ],
)
def test_the_report_says_who_has_failed_before_the_system_does(
    bench: Bench, reason: str, infrastructure: bool, blamed: bool
) -> None:
    status = JobStatus(JobState.FAILED, infrastructure=infrastructure)
    assert bench.backend.blames_site(status, reason) is blamed


def test_a_job_is_described_without_a_server(bench: Bench) -> None:
    text = bench.backend.describe(bench.payload(3, [Blob("a" * 64, 9, url="lfn:/vo/a")]))
    assert f'Parameters = {{"{name(3)}"}};' in text
    assert '"LFN:/vo/a"' in text
    assert not bench.backend.blames_site(UNKNOWN, "")
    assert bench.dirac.asked == []


A, B = "DIRAC.A.test", "DIRAC.B.test"


@pytest.mark.parametrize("bench", [{"options": Options(banned_sites=("DIRAC.C.test",))}], indirect=True)
@pytest.mark.parametrize(
    ("avoid", "overrides", "data", "banned"),
    [
        (A, {}, False, {A, "DIRAC.C.test"}),
        (f"{A} {B}", {}, False, {"DIRAC.C.test"}),  # there would be no site left
        (A, {}, True, {"DIRAC.C.test"}),
        (A, {"banned_sites": B}, False, {B}),
        (A, {"banned_sites": ""}, False, {A}),
    ],
)
def test_sites_are_avoided_where_there_are_others(
    bench: Bench, avoid: str, overrides: dict[str, str], data: bool, banned: set[str]
) -> None:
    blobs = [Blob("a" * 64, 9, url="lfn:/vo/a")] if data else []
    bench.submit(bench.payload(0, blobs, avoid, overrides=overrides), bench.payload(1))
    jdl = bench.dirac.named(name(0))[0].jdl
    (line,) = [line for line in jdl.splitlines() if line.startswith("BannedSites")]
    assert set(line.split('"')[1::2]) - {","} == banned


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"seconds_left": 0}, CredentialsError, "has expired; run 'dirac-proxy-init -g dirac_user'"),
        ({"limited": True}, CredentialsError, "limited"),
        ({"group": ""}, CredentialsError, "dirac-proxy-init -g GROUP"),
        ({"properties": ["Operator"]}, CredentialsError, "dirac_user may not submit"),
        ({"seconds_left": 3599}, PermanentError, "expires in 59 min"),
    ],
)
def test_the_proxy_is_looked_at_before_the_first_job(
    bench: Bench, fields: dict[str, Any], kind: type[GridError], words: str
) -> None:
    bench.call(bench.backend.check())
    assert bench.call(bench.backend.check_credentials()) == ""
    bench.dirac.proxy_fields |= fields
    with pytest.raises(kind, match=words):
        bench.call(bench.backend.check())


def test_a_proxy_that_expires_soon_is_only_warned_of_later(bench: Bench) -> None:
    bench.dirac.proxy_fields["seconds_left"] = 3599
    assert "expires in 59 min" in bench.call(bench.backend.check_credentials())


@pytest.mark.parametrize("bench", [{"options": Options(storage_element="SE-1")}], indirect=True)
def test_outputs_go_to_the_storage_element(bench: Bench) -> None:
    bench.call(bench.backend.check())
    bench.submit(bench.payload(0))
    assert 'OutputPath = "LFN:/vo/user/m/me/delivered/%s"' in bench.dirac.jobs[1].jdl
    assert 'OutputSE = "SE-1"' in bench.dirac.jobs[1].jdl


@pytest.mark.parametrize("bench", [{"options": Options(storage_element="SE-9")}], indirect=True)
def test_a_storage_element_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=r"SE-9: there is no such; .* has SE-1, SE-2"):
        bench.call(bench.backend.check())


def test_closing_ends_the_client(bench: Bench) -> None:
    bench.call(bench.backend.close())
    assert bench.dirac.closed
