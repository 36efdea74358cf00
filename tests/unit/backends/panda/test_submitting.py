from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.base import Rejected, Submitted
from snakemake_executor_plugin_grid.backends.panda import submitting
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.model.job import Resources
from snakemake_executor_plugin_grid.worker.description import Blob
from snakemake_executor_plugin_grid.worker.private import read_private
from tests.unit.backends.panda.fake_panda import CACHE, Bench, name, names

DOWN = TransientError("Connection refused")
SECRET = {"TOKEN": "hush"}


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, **getattr(request, "param", {}))


def test_jobs_of_one_shape_are_one_task(bench: Bench) -> None:
    assert bench.submitted(20) == [f"1:{name(number)}" for number in range(20)]
    (task,) = bench.panda.tasks
    assert task.parameters["pfnList"] == names(*range(20))
    assert re.fullmatch(r"user\.Jane_Doe\.snakemake\.0000beef\.[0-9a-f]{16}", task.name)
    assert bench.panda.counts == {"upload": 1, "submit": 1}
    assert not list((bench.folder / "sandboxes").iterdir())


def test_jobs_of_other_shapes_or_runs_are_other_tasks(bench: Bench) -> None:
    large = Resources(memory_mb=4000)
    bench.backend._sites.add("SITE_B")
    payloads = [
        bench.payload(0),
        bench.payload(1, resources=large),
        bench.payload(2),
        bench.payload(3, avoid="SITE_A"),
        bench.payload(4, overrides={"site": "SITE_A"}),
    ]
    assert all(isinstance(answer, Submitted) for answer in bench.submit(*payloads))
    lists = [task.parameters["pfnList"] for task in bench.panda.tasks]
    assert sorted(lists) == [names(0, 2), names(1), names(3), names(4)]
    assert len({task.name for task in bench.panda.tasks}) == 4


def test_large_batches_are_divided(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "JOBS_PER_TASK", 4)
    assert len(set(bench.submitted(10))) == 10
    assert sorted(len(task.parameters["pfnList"]) for task in bench.panda.tasks) == [2, 4, 4]


def test_two_batches_at_once_are_two_tasks(bench: Bench) -> None:
    async def both() -> list[list[Submitted | Rejected]]:
        first, second = [bench.payload(0), bench.payload(1)], [bench.payload(2)]
        return await asyncio.gather(bench.backend.submit(first), bench.backend.submit(second))

    first, second = bench.call(both())
    assert (len(first), len(second)) == (2, 1)
    for answer in (*first, *second):
        assert isinstance(answer, Submitted)
        number, _, job = answer.grid_id.partition(":")
        task = bench.panda.task(int(number))
        assert job in task.parameters["pfnList"]
        assert bench.registry.grid_id(task.name) == number


def test_a_job_that_cannot_be_described_fails_alone(bench: Bench) -> None:
    first, refused, last = bench.submit(
        bench.payload(0), bench.payload(1, overrides={"priority": "high"}), bench.payload(2)
    )
    assert isinstance(first, Submitted)
    assert isinstance(last, Submitted)
    assert isinstance(refused, Rejected)
    assert "grid_priority" in refused.message
    (alone,) = bench.submit(bench.payload(3, overrides={"panda_task": "["}))
    assert isinstance(alone, Rejected)
    assert "grid_panda_task" in alone.message
    assert len(bench.panda.tasks) == 1


@pytest.mark.parametrize("bench", [{"by_server": True}, {"by_server": False}], indirect=True)
@pytest.mark.parametrize("call", ["submit", "upload"])
def test_a_refused_task_leaves_the_others_and_nothing_private(bench: Bench, call: str) -> None:
    bench.panda.errors[call] = [PermanentError("unknown VO")]
    answers = bench.submit(
        bench.payload(0, environment=SECRET),
        bench.payload(1, environment=SECRET, resources=Resources(processors=2)),
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Rejected", "Submitted"]
    assert len(bench.panda.secrets) + len(bench.store.posted) == 1


@pytest.mark.parametrize("call", ["upload", "submit"])
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("registered", [False, True])
def test_after_an_error_the_jobs_go_into_the_same_task(
    bench: Bench, call: str, lost: bool, registered: bool
) -> None:
    bench.panda.register = registered
    (bench.panda.lost if lost else bench.panda.errors)[call] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0), bench.payload(1))
    adopted = dict(bench.call(bench.backend.adopt(names(0, 1))))
    found = call == "submit" and lost and registered
    assert adopted == ({name(n): f"1:{name(n)}" for n in (0, 1)} if found else {})
    # In another order, and with one more job, which goes into a task of its own.
    bench.submit(bench.payload(1), bench.payload(0), bench.payload(2))
    lists = sorted(sorted(task.parameters["pfnList"]) for task in bench.panda.tasks)
    assert lists == [names(0, 1), names(2)]


def test_a_task_that_is_done_is_not_submitted_again(bench: Bench) -> None:
    bench.panda.lost["submit"] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0))
    bench.panda.tasks[0].status = "done"
    assert bench.submit(bench.payload(0)) == [Submitted(f"1:{name(0)}")]
    assert bench.panda.counts["submit"] == 1


def test_what_was_taken_is_found_when_another_task_was_not(bench: Bench) -> None:
    bench.panda.errors["submit"] = [CredentialsError("token has expired")]
    with pytest.raises(CredentialsError):
        bench.submit(bench.payload(0), bench.payload(1, resources=Resources(processors=2)))
    (task,) = bench.panda.tasks
    (taken,) = task.parameters["pfnList"]
    assert bench.call(bench.backend.adopt(names(0, 1))) == {taken: f"1:{taken}"}


def test_another_run_finds_the_jobs_by_name(bench: Bench) -> None:
    ids = bench.submitted(3)
    bench.restart()
    assert sorted(bench.call(bench.backend.find([*names(0, 1, 2), "x-0000beef-9"])).values()) == ids
    assert bench.panda.counts["tasks_named"] == 0  # the ledger has its id


def test_a_sandbox_has_what_its_jobs_need(bench: Bench) -> None:
    small, own, large = bench.blob(b"a"), bench.blob(b"b"), bench.blob(b"c" * (128 << 10))
    remote = Blob("d" * 64, 9, url="https://store.test/d")
    bench.submit(bench.payload(0, [small, large, remote]), bench.payload(1, [small, own]))
    (task,) = bench.panda.tasks
    files = bench.panda.sandbox(task)
    assert files.keys() == {
        *("grid-job.sh", "jobs.json", "worker.pyz"),
        *(small.digest, own.digest),
    }
    assert files["worker.pyz"] == b"worker"
    job = json.loads(json.loads(files["jobs.json"])[name(0)]["job"])
    assert {blob["digest"]: blob["url"] for blob in job["blobs"]} == {
        small.digest: "",
        large.digest: f"{CACHE}/cache/sources.{large.digest}",
        remote.digest: remote.url,
    }
    assert bench.panda.cached[f"sources.{large.digest}"] == b"c" * (128 << 10)
    assert task.parameters["sourceURL"] == CACHE
    assert "useSecrets" not in task.parameters


def test_a_blob_goes_into_the_cache_once(bench: Bench) -> None:
    large = bench.blob(b"c" * (128 << 10))
    for number in range(3):
        bench.submit(bench.payload(number, [large], resources=Resources(processors=number + 1)))
    uploads = [name for _, name in bench.panda.args_of("upload")]
    assert uploads.count(f"sources.{large.digest}") == 1
    bench.restart()  # the cache has it, and says so
    bench.submit(bench.payload(7, [large]))
    assert len(bench.panda.tasks) == 4


def test_a_blob_whose_upload_failed_is_uploaded_again(bench: Bench) -> None:
    large = bench.blob(b"c" * (128 << 10))
    bench.panda.errors["upload"] = [DOWN]
    with pytest.raises(TransientError):
        bench.submit(bench.payload(0, [large]))
    assert bench.submit(bench.payload(0, [large])) == [Submitted(f"1:{name(0)}")]
    assert f"sources.{large.digest}" in bench.panda.cached


def public(bench: Bench) -> str:
    """Return all that others can read: task parameters and the cache, its archives unpacked."""
    texts = [json.dumps(task.parameters) for task in bench.panda.tasks]
    for task in bench.panda.tasks:
        texts += [content.decode() for content in bench.panda.sandbox(task).values()]
    return "\n".join(texts)


def private(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Read what is private as the worker does, with what the pilot and the store have for it."""
    from snakemake_executor_plugin_grid.worker.transfer import urls

    def get(url: str, target: Path) -> None:
        target.write_bytes(bench.store.posted[url.rpartition("/")[2]])

    monkeypatch.setattr(urls, "get", get)
    folder.mkdir()
    (folder / "panda_secrets.json").write_text(json.dumps(bench.panda.secrets))
    for leaf, content in bench.panda.sandbox(bench.panda.tasks[0]).items():
        (folder / leaf).write_bytes(content)
    found = read_private(folder)
    assert not (folder / ".private.json").exists()
    return found


@pytest.mark.parametrize(
    ("bench", "size", "secrets", "posted"),
    [
        ({}, 4, 0, 1),
        ({"by_server": True}, 4, 1, 0),
        ({"by_server": True}, 20_000, 1, 1),  # too large for a secret: that has the URL
        ({"secret": True}, 4, 1, 0),  # the URL would be a secret itself
        ({"secret": True}, 20_000, 1, 1),
    ],
    indirect=["bench"],
)
def test_the_environment_is_private(
    bench: Bench,
    size: int,
    secrets: int,
    posted: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = "hush" * (size // 4)
    ids = [
        answer.grid_id
        for answer in bench.submit(bench.payload(0, environment={"TOKEN": token}), bench.payload(1))
        if isinstance(answer, Submitted)
    ]
    assert "hush" not in public(bench)
    assert (len(bench.panda.secrets), len(bench.store.posted)) == (secrets, posted)
    assert bench.panda.tasks[0].parameters.get("useSecrets", False) is bool(secrets)
    hidden = private(bench, tmp_path / "job", monkeypatch)["jobs"]
    assert hidden[name(0)]["environment"] == {"TOKEN": token}
    if bench.store.secret:
        assert json.loads(hidden[name(1)]["job"])["n"] == 1
        assert '\\"n\\"' not in public(bench)
    else:
        assert name(1) not in hidden
    bench.call(bench.backend.discard(ids[:1]))
    assert len(bench.panda.secrets) + len(bench.store.posted) == secrets + posted
    bench.call(bench.backend.discard(ids[1:]))
    assert (bench.panda.secrets, bench.store.posted) == ({}, {})


@pytest.mark.parametrize("bench", [{"by_server": True}], indirect=True)
def test_a_secret_is_a_file_whose_value_is_text(bench: Bench) -> None:
    bench.submit(bench.payload(0, environment=SECRET))
    ((key, value),) = bench.panda.secrets.items()
    digest = bench.panda.tasks[0].name.rpartition(".")[2]
    assert key == f"___file___:snakemake_grid_{digest}"
    assert json.loads(base64.b64decode(value)) == {"jobs": {name(0): {"environment": SECRET}}}


def test_private_parts_are_removed_by_a_later_run(bench: Bench) -> None:
    ids = [
        answer.grid_id
        for answer in bench.submit(*(bench.payload(n, environment=SECRET) for n in range(2)))
        if isinstance(answer, Submitted)
    ]
    bench.call(bench.backend.discard(ids[:1]))
    bench.restart()
    bench.call(bench.backend.discard(ids[1:]))
    assert bench.store.posted == {}


@pytest.mark.parametrize("bench", [{"by_server": True}], indirect=True)
def test_private_parts_that_could_not_be_removed_are_later(bench: Bench) -> None:
    first, second = [
        answer.grid_id
        for number in range(2)
        for answer in bench.submit(bench.payload(number, environment=SECRET))
        if isinstance(answer, Submitted)
    ]
    bench.panda.errors["set_secret"] = [DOWN]
    bench.call(bench.backend.discard([first]))
    assert len(bench.panda.secrets) == 2
    bench.call(bench.backend.discard([second]))
    assert bench.panda.secrets == {}
    bench.submit(bench.payload(2, environment=SECRET))
    bench.panda.errors["set_secret"] = [DOWN]
    bench.call(bench.backend.discard([f"3:{name(2)}"]))
    assert len(bench.panda.secrets) == 1
    bench.restart()
    bench.call(bench.backend.discard([]))
    assert bench.panda.secrets == {}


@pytest.mark.parametrize("error", [DOWN, PermanentError("no space")])
def test_nothing_is_submitted_whose_private_part_is_nowhere(bench: Bench, error: GridError) -> None:
    bench.panda.errors["set_secret"] = [error]
    bench.store.secret = True
    try:
        answers = bench.submit(bench.payload(0))
    except TransientError:
        assert error is DOWN
    else:
        assert answers == [Rejected("no space")]
    assert bench.panda.tasks == []
