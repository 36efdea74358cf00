from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from snakemake_executor_plugin_grid.backends.base import Payload
from snakemake_executor_plugin_grid.backends.dirac.client import Client
from snakemake_executor_plugin_grid.backends.dirac.sandboxes import Sandboxes
from snakemake_executor_plugin_grid.backends.packaging import JobPackage
from snakemake_executor_plugin_grid.model.errors import TransientError
from snakemake_executor_plugin_grid.stores.spool import RESERVE, SpoolStore
from snakemake_executor_plugin_grid.worker.description import Blob
from tests.unit.backends.dirac.fake_dirac import FakeDirac
from tests.unit.specs import spec

SMALL, SHARED, LARGE = 100, 64 << 10, 1 << 20


class Bench:
    """Sandboxes with a small DIRAC, and blobs of any size."""

    def __init__(self, folder: Path) -> None:
        self.dirac = FakeDirac(folder)
        self.folder = folder / "sandboxes"
        self.worker = folder / "worker.zip"
        self.worker.write_bytes(b"worker")
        self.spool = SpoolStore(folder / "spool", self.dirac.sandbox_limit, "")
        self.spool.check()
        self.sandboxes = Sandboxes(cast(Client, self.dirac), self.spool, self.folder)

    def blob(self, size: int, text: str) -> Blob:
        content = text.encode().ljust(size, b".")
        digest = hashlib.sha256(content).hexdigest()
        path = self.spool.path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return Blob(digest, size)

    def payload(self, name: str, *blobs: Blob) -> Payload:
        job = spec(name, environment={"TOKEN": f"secret of {name}"})
        return Payload(job, json.dumps({"name": name}), blobs, self.worker)

    def send(self, *payloads: Payload) -> list[list[dict[str, bytes]]]:
        """Return the content of the sandboxes of each job."""
        return self.upload(self.sandboxes.load(payloads))

    def upload(self, chunk: Sequence[JobPackage]) -> list[list[dict[str, bytes]]]:
        addresses = asyncio.run(self.sandboxes.upload(chunk, self.worker))
        numbers = [[int(a.rpartition("/")[2].split(".")[0]) for a in job] for job in addresses]
        return [[self.dirac.uploads[number - 1] for number in job] for job in numbers]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_chunk_has_one_sandbox_with_all_that_is_small(bench: Bench) -> None:
    one, two = bench.blob(SMALL, "one"), bench.blob(SHARED, "two")
    (first,), (second,) = bench.send(bench.payload("j-1", one), bench.payload("j-2", one, two))
    assert first is second
    assert len(bench.dirac.uploads) == 1
    names = {"grid-job.sh", "jobs.json", "worker.pyz", one.digest, two.digest}
    assert first.keys() == names
    assert first["worker.pyz"] == b"worker"
    assert json.loads(first["jobs.json"]) == {
        name: {"job": f'{{"name": "{name}"}}', "environment": {"TOKEN": f"secret of {name}"}}
        for name in ("j-1", "j-2")
    }


@pytest.mark.parametrize("size", [SHARED, LARGE])
def test_what_jobs_share_goes_up_once_in_a_run(bench: Bench, size: int) -> None:
    common = bench.blob(size, "common")
    for batch in ("a", "b"):
        jobs = [bench.payload(f"{batch}-{number}", common) for number in range(3)]
        for package in bench.sandboxes.load(jobs):  # in chunks of one job
            (sandboxes,) = bench.upload([package])
            assert [set(sandbox) & {common.digest} for sandbox in sandboxes] == [
                set(),
                {common.digest},
            ]
    bench.send(bench.payload("later", common))
    assert sum(common.digest in upload for upload in bench.dirac.uploads) == 1
    assert len(bench.dirac.uploads) == 8


def test_a_large_blob_of_one_job_is_not_sent_with_the_others(bench: Bench) -> None:
    own = bench.blob(LARGE, "own")
    (first,), second = bench.send(bench.payload("j-1"), bench.payload("j-2", own))
    assert own.digest not in first
    assert [set(sandbox) for sandbox in second[1:]] == [{own.digest}]


def test_a_blob_that_could_not_be_sent_is_sent_again(bench: Bench) -> None:
    blob = bench.blob(LARGE, "blob")
    bench.dirac.errors["upload_sandbox"] = [TransientError("down")]
    with pytest.raises(TransientError):
        bench.send(bench.payload("j-1", blob))
    (sandboxes,) = bench.send(bench.payload("j-1", blob))
    assert blob.digest in sandboxes[1]


def test_blobs_elsewhere_are_in_no_sandbox(bench: Bench) -> None:
    elsewhere = [
        Blob("a" * 64, 9, url="lfn:/vo/a"),
        Blob("a" * 64, 9, url="lfn:/vo/a"),
        Blob("b" * 64, 9, url="file:///shared/b"),
    ]
    (package,) = bench.sandboxes.load([bench.payload("j-1", *elsewhere)])
    assert (package.separate, package.packed, package.lfns) == ((), (), ("/vo/a",))


def test_chunks_fit_into_a_submission_and_into_a_sandbox(bench: Bench) -> None:
    bench.dirac.limit = RESERVE + 1000
    blobs = [bench.blob(400, str(number)) for number in range(5)]
    common = bench.blob(400, "common")
    jobs = [bench.payload(f"own-{n}", blob) for n, blob in enumerate(blobs)]
    cargos = bench.sandboxes.load(jobs)
    portions = list(bench.sandboxes.portions(cargos, 100))
    assert [len(portion) for portion in portions] == [2, 2, 1]
    assert [package for portion in portions for package in portion] == cargos
    same = bench.sandboxes.load([bench.payload(f"same-{n}", common, blobs[0]) for n in range(5)])
    assert [len(portion) for portion in bench.sandboxes.portions(same, 100)] == [5]
    assert [len(portion) for portion in bench.sandboxes.portions(same, 2)] == [2, 2, 1]
    assert list(bench.sandboxes.portions([], 2)) == []


def test_a_job_that_is_alone_too_large_stands_alone(bench: Bench) -> None:
    bench.dirac.limit = RESERVE + 500
    jobs = [
        bench.payload("j-1", bench.blob(400, "a"), bench.blob(400, "b")),
        bench.payload("j-2", bench.blob(400, "c")),
    ]
    portions = bench.sandboxes.portions(bench.sandboxes.load(jobs), 100)
    assert [len(portion) for portion in portions] == [1, 1]


def test_secrets_are_for_the_user_alone_and_nothing_is_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = {}
    upload = bench.dirac.upload_sandbox

    def look(paths: Sequence[str]) -> str:
        modes.update({Path(path).name: os.stat(path).st_mode & 0o777 for path in paths})  # noqa: PTH116 - follows links
        modes["."] = Path(paths[0]).parent.stat().st_mode & 0o777
        return upload(paths)

    monkeypatch.setattr(bench.dirac, "upload_sandbox", look)
    bench.send(bench.payload("j-1"))
    assert (modes["jobs.json"], modes["."], modes["grid-job.sh"]) == (0o600, 0o700, 0o755)
    assert list(bench.folder.iterdir()) == []
    bench.dirac.errors["upload_sandbox"] = [TransientError("down")]
    with pytest.raises(TransientError):
        bench.send(bench.payload("j-1"))
    assert list(bench.folder.iterdir()) == []


def _start(bench: Bench, path: Path, *pythons: str) -> subprocess.CompletedProcess[str]:
    ((sandbox,),) = bench.send(bench.payload("j-1"))
    path.mkdir()
    for name, content in sandbox.items():
        (path / name).write_bytes(content)
    for name in pythons:
        python = path / "bin" / name
        python.parent.mkdir(exist_ok=True)
        # An interpreter that is new enough, and one that is too old.
        test = "exit 1" if name == "python3" else "exit 0"
        python.write_text(f'#!/bin/sh\ncase "$*" in *" -c "*) {test} ;; esac\necho {name} "$@"\n')
        python.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", "grid-job.sh", "j-1"],
        cwd=path,
        env={"PATH": str(path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_worker_is_started_by_a_python_that_is_new_enough(bench: Bench, tmp_path: Path) -> None:
    done = _start(bench, tmp_path / "node", "python3", "python3.11", "python3.9")
    assert done.stdout == "python3.11 -S -I worker.pyz --jobs jobs.json j-1\n"
    assert done.returncode == 0


def test_a_node_without_python_says_so(bench: Bench, tmp_path: Path) -> None:
    done = _start(bench, tmp_path / "node", "python3")
    assert done.returncode == 127
    assert "no Python 3.9 or later" in done.stderr
