from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload, Rejected, Submitted
from snakemake_executor_plugin_grid.backends.dirac.jdl import Options
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.model.state import UNKNOWN, JobState, JobStatus
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob
from snakemake_executor_plugin_grid.worker.grid_files.records import GridInput
from tests.unit.backends.dirac.dirac_bench import Bench, name, names
from tests.unit.specs import spec

DOWN = TransientError("Connection refused")


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
    assert answers == [Rejected("Number of parametric jobs exceeds the limit of 0")] * 2
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


def test_each_job_has_the_sandboxes_that_it_needs(bench: Bench) -> None:
    large = [bench.blob(text.ljust(1 << 20).encode()) for text in "abc"]
    needed = {0: [], 1: large[:1], 2: large[1:2], 3: large[1:], 4: []}
    answers = bench.submit(*(bench.payload(n, blobs) for n, blobs in needed.items()))
    assert all(isinstance(answer, Submitted) for answer in answers)
    for number, blobs in needed.items():
        (job,) = bench.dirac.named(name(number))
        uploads = [
            bench.dirac.uploads[int(address.rpartition("/")[2].partition(".")[0]) - 1]
            for address in job.sandboxes
        ]
        assert name(number) in json.loads(uploads[0]["jobs.json"])
        assert [set(upload) for upload in uploads[1:]] == [{blob.digest} for blob in blobs]


@pytest.mark.parametrize("bench", [{"fetch_inputs": False}, {"fetch_inputs": True}], indirect=True)
def test_jobs_that_go_to_their_data_share_no_grid_job(bench: Bench) -> None:
    data = GridInput("x", "lfn:/vo/x", 1, "", 0, ("lfn:/vo/x",))
    fetched = bench.backend._fetch_inputs
    assert bench.backend.may_bundle(bench.payload(0, grid_inputs=(data,))) is fetched
    assert bench.backend.may_bundle(bench.payload(1, [Blob("a" * 64, 9, url="lfn:/vo/a")]))


@pytest.mark.parametrize("bench", [{"fetch_inputs": True}], indirect=True)
def test_workers_that_fetch_their_inputs_have_no_input_data(bench: Bench) -> None:
    bench.submit(bench.payload(0, [Blob("a" * 64, 9, url="lfn:/vo/a")]), bench.payload(1))
    assert "InputData" not in bench.dirac.jobs[1].jdl
    assert bench.dirac.counts["create"] == 1


def test_a_resource_that_cannot_go_into_a_jdl_fails_its_job_alone(bench: Bench) -> None:
    bad = bench.payload(1, overrides={"platform": 'x";y'})
    first, refused, last = bench.submit(bench.payload(0), bad, bench.payload(2))
    assert (first, last) == (Submitted("1"), Submitted("2"))
    assert isinstance(refused, Rejected)
    assert "grid_platform" in refused.message


def test_a_refused_chunk_leaves_the_others(bench: Bench) -> None:
    bench.dirac.max_parametric = 2
    bench.dirac.errors["create"] = [PermanentError("Invalid sites: X")]
    answers = bench.submit(*map(bench.payload, range(4)))
    assert answers[:2] == [Rejected("Invalid sites: X")] * 2
    assert answers[2:] == [Submitted("1"), Submitted("2")]


def test_jobs_that_are_not_as_many_as_were_sent_do_not_run(bench: Bench) -> None:
    bench.dirac.create = lambda jdl: [1]  # type: ignore[method-assign]
    answers = bench.submit(bench.payload(0), bench.payload(1))
    assert answers == [Rejected("DIRAC has made 1 jobs of 2")] * 2
    assert bench.dirac.counts["confirm"] == 0


@pytest.mark.parametrize("call", ["create", "confirm"])
@pytest.mark.parametrize("lost", [False, True])
def test_after_an_error_the_jobs_of_each_name_run_once(bench: Bench, call: str, lost: bool) -> None:
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
    groups = ["snakemake-1234abcd", "snakemake-0000beef", "snakemake-0000beef"]
    assert [job.group for job in bench.dirac.jobs.values()] == groups
    assert bench.call(bench.backend.find(others)) == {others[0]: "1", others[1]: "2"}
    assert bench.dirac.args_of("jobs_of") == [("snakemake-0000beef",), ("snakemake-1234abcd",)]
    with pytest.raises(ValueError, match="no id of a run"):
        bench.call(bench.backend.find(["nobody"]))


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


@pytest.mark.parametrize(
    "bench", [{"options": Options(banned_sites=("DIRAC.C.test",))}], indirect=True
)
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
        (
            {"seconds_left": 0},
            CredentialsError,
            "has expired; run 'dirac-proxy-init -g dirac_user'",
        ),
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
