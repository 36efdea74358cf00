"""Sparse inputs and outputs take no more space than their data, and outputs have to fit."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.errors import DiskFullError
from snakemake_executor_plugin_grid.resilience.calls import is_of_disk
from snakemake_executor_plugin_grid.staging import install as installing
from snakemake_executor_plugin_grid.staging.install import OutputDamagedError
from snakemake_executor_plugin_grid.worker.archive.files import file_digest
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
from snakemake_executor_plugin_grid.worker.interruption import interrupt_by
from tests.unit.specs import spec

from .submission import LARGE, Submission, prepared
from .submission import host as submission
from .submit_host import NEW, OUTPUT, SubmitHost, entry, host

__all__ = ["host", "submission"]

SIZE = 1 << 30


def make(path: Path, data: bytes = b"data") -> Path:
    with path.open("wb") as stream:
        stream.truncate(SIZE)
        stream.seek(SIZE // 2)
        stream.write(data)
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_sparse_inputs_travel_without_their_holes(submission: Submission) -> None:
    make(submission.home / "a")
    make(submission.home / "b", b"x" * 100 * LARGE)
    submission.put("c", "small")
    [*blobs] = prepared(submission.upload(), spec("j", ["a", "b", "c"]))["j"]
    assert [blob.kind for blob in blobs] == ["tar"] * 3  # sparse ones with much data travel alone
    assert sum(blob.size for blob in blobs) < 200 * LARGE
    for blob in blobs:
        unpack(submission.store.path(blob.digest), {"work": submission.folder / "back"})
    for name in "ab":
        back = submission.folder / "back" / name
        assert back.stat().st_size == SIZE
        assert allocated(back) <= allocated(submission.home / name)


def sparse_result(host: SubmitHost) -> dict[str, Any]:
    made = make(host.top / "made")
    packed = pack(scan(made, OUTPUT), host.top / "a.tar", sums=True)
    blob = host.store((host.top / "a.tar").read_bytes())
    return {**packed.members[0].to_json(), "blob": blob}


def test_a_sparse_output_is_installed_with_its_holes(host: SubmitHost) -> None:
    host.install_outputs(sparse_result(host))
    path = host.workdir / "out" / "a.txt"
    assert path.stat().st_size == SIZE
    assert allocated(path) <= allocated(host.top / "made")


@pytest.fixture
def _other_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folders of outputs be on another file system."""
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if ".snakemake" in path.parts and ".snakemake" not in target.parts:
            raise OSError(errno.EXDEV, "another file system")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.usefixtures("_other_file_system")
def test_a_copy_to_another_file_system_keeps_holes(host: SubmitHost) -> None:
    host.install_outputs(sparse_result(host))
    path = host.workdir / "out" / "a.txt"
    assert allocated(path) <= allocated(host.top / "made")
    assert file_digest(path) == file_digest(host.top / "made")


class Interrupted(BaseException):
    """The run is ending."""


@pytest.mark.usefixtures("_other_file_system")
def test_an_interrupted_copy_leaves_the_old_output(host: SubmitHost) -> None:
    data = b"x" * (3 << 20)
    blob = host.store(data)
    blocks: list[None] = []

    def look() -> None:
        blocks.append(None)
        if len(blocks) > 5:  # three of the check of the file, the others of the copy
            raise Interrupted

    interrupt_by(look)
    try:
        with pytest.raises(Interrupted):
            host.install_outputs(entry(OUTPUT, data, blob=blob, raw=True))
    finally:
        interrupt_by()
    assert host.read("out/a.txt") == "old"
    assert [path.name for path in (host.workdir / "out").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("total", "free", "problem"),
    [(10, 3, None), (10, 2, DiskFullError), (2, 2, OutputDamagedError)],
)
def test_outputs_have_to_fit_on_the_disk(
    host: SubmitHost,
    monkeypatch: pytest.MonkeyPatch,
    total: int,
    free: int,
    problem: type[Exception] | None,
) -> None:
    disk = SimpleNamespace(total=total, free=free)
    monkeypatch.setattr(installing.shutil, "disk_usage", lambda _: disk)
    blob = host.store(NEW)
    returned = entry(OUTPUT, NEW, blob=blob, raw=True)
    if problem is None:
        host.install_outputs(returned)
        return
    with pytest.raises(problem, match=r"outputs.* take 3 bytes"):
        host.install_outputs(returned)
    assert host.read("out/a.txt") == "old"


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@pytest.mark.parametrize(("claimed", "problem"), [(10**6, OutputDamagedError), (40, DiskFullError)])
def test_run_does_not_wait_for_space_that_a_job_only_claims(
    host: SubmitHost,
    monkeypatch: pytest.MonkeyPatch,
    compression: str,
    claimed: int,
    problem: type[Exception],
) -> None:
    disk = SimpleNamespace(total=10**7, free=30)
    monkeypatch.setattr(installing.shutil, "disk_usage", lambda _: disk)
    returned = entry(OUTPUT, NEW, blob=host.store(bytes(50)), size=claimed)
    with pytest.raises(problem) as caught:
        host.install_outputs(returned, compression=compression)
    assert is_of_disk(caught.value) is (problem is DiskFullError)
    assert host.read("out/a.txt") == "old"
