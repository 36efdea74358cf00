"""Outputs for a WMS that takes them up: `sandbox:` and `lfn:`."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_grid.worker import delivery, stageout
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.member import TarballError
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
from snakemake_executor_plugin_grid.worker.description import Job, Output
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.tree import Tree

LARGE = 10_000
LOG = Output("work/log", "log", required=False)


class Node:
    """A job that has run, in a DIRAC job's folder."""

    def __init__(self, folder: Path) -> None:
        self.sandbox = folder
        self.tree = Tree(folder / "scratch" / "tree", ())
        self.report = Report("j", reason=reports.SUCCESS)
        self.job = Job("j", "", (), (), (), Runtime("inherit"), large_file=LARGE)
        self.job = replace(self.job, deliver="sandbox:", deliver_hint="give --option")

    def put(self, name: str, data: bytes) -> bytes:
        path = self.tree.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return data

    def stage(self, *outputs: Output, **job: Any) -> None:
        self.job = replace(self.job, **job)
        stageout.stage_out(self.job, self.sandbox, self.tree, set(), outputs, self.report)

    def check(self, suffix: str) -> list[str]:
        """Return the names that came back, after a look at every file beside the report."""
        left = {path.name: path for path in self.sandbox.iterdir() if path.is_file()}
        assert set(left) == {digest + suffix for digest in self.report.blobs}
        for name, path in left.items():
            digest = name.partition(".")[0]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
            assert path.stat().st_size == self.report.blobs[digest]
        assert {item.blob for item in self.report.returned} == set(self.report.blobs)
        assert self.report.bytes_out == sum(self.report.blobs.values())
        if suffix == ".blob" and self.job.deliver_limit is not None:
            assert self.report.bytes_out <= self.job.deliver_limit
        return sorted(item.member.name for item in self.report.returned)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    return Node(folder)


@pytest.mark.parametrize(
    ("deliver", "success", "suffix"),
    [
        ("sandbox:", True, ".blob"),
        ("sandbox:", False, ".blob"),
        ("lfn:/vo/user/m/me/run", True, ".data"),
        ("lfn:/vo/user/m/me/run", False, ".blob"),
    ],
)
def test_blobs_lie_beside_the_report(
    node: Node, tmp_path: Path, deliver: str, success: bool, suffix: str
) -> None:
    if not success:
        node.report.reason = reports.PAYLOAD_FAILED
    big = node.put("work/big", b"b" * LARGE)
    node.put("work/small", b"s")
    node.stage(Output("work/big"), Output("work/small"), deliver=deliver, deliver_limit=1 << 20)
    assert node.check(suffix) == ["work/big", "work/small"]
    # The tree is thrown away, so a large file takes no room twice.
    blob = node.sandbox / (hashlib.sha256(big).hexdigest() + suffix)
    assert blob.stat().st_ino == node.tree.path("work/big").stat().st_ino
    [digest] = {item.blob for item in node.report.returned if not item.raw}
    (tmp_path / "landing").mkdir()
    unpack(node.sandbox / (digest + suffix), {"work": tmp_path / "landing"}, digest=digest)
    assert (tmp_path / "landing" / "small").read_bytes() == b"s"
    assert node.report.reason == (reports.SUCCESS if success else reports.PAYLOAD_FAILED)


def test_an_input_with_the_same_bytes_is_left_alone(node: Node) -> None:
    data = node.put("work/copy", b"i" * LARGE)
    digest = hashlib.sha256(data).hexdigest()
    (node.sandbox / digest).write_bytes(data)
    node.stage(Output("work/copy"), deliver_limit=LARGE - 1)
    assert node.report.reason == reports.OUTPUT_TOO_LARGE
    assert (node.sandbox / digest).read_bytes() == data
    assert sorted(path.name for path in node.sandbox.iterdir()) == sorted([digest, "scratch"])


def test_a_storage_element_has_no_limit(node: Node) -> None:
    node.put("work/big", b"b" * LARGE)
    node.stage(Output("work/big"), deliver="lfn:/vo/x", deliver_limit=1)
    assert (node.report.reason, node.check(".data")) == (reports.SUCCESS, ["work/big"])


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_outputs_that_are_too_large_fail_and_the_log_comes(node: Node, compression: str) -> None:
    node.put("work/a", os.urandom(6_000_000))
    node.put("work/b", os.urandom(6_300_000))
    node.put("work/log", b"why")
    outputs = (Output("work/a"), Output("work/b"), LOG)
    node.stage(*outputs, deliver_limit=9_400_000, compression=compression)
    assert node.report.reason == reports.OUTPUT_TOO_LARGE
    message = node.report.message
    assert re.search(r"outputs take 12\.3 MB.*sandbox holds.* 9\.4 MB; give --option", message)
    assert node.check(".blob") == ["work/log"]
    assert node.report.left_out == []


@pytest.mark.parametrize("large_file", [1, 1 << 30], ids=["raw", "tar"])
def test_what_is_surely_too_large_is_not_read(
    node: Node, monkeypatch: pytest.MonkeyPatch, large_file: int
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("read in vain")

    node.put("work/a", b"a" * 5000)
    monkeypatch.setattr(delivery, "file_digest", never)
    monkeypatch.setattr(delivery, "pack", never)
    node.stage(Output("work/a"), deliver_limit=4999, large_file=large_file)
    assert node.report.reason == reports.OUTPUT_TOO_LARGE
    assert node.check(".blob") == []


def test_outputs_that_fit_once_compressed(node: Node) -> None:
    node.put("work/a", b"a" * 50_000)
    node.stage(Output("work/a"), deliver_limit=5000, compression="gzip", large_file=1 << 20)
    assert (node.report.reason, node.check(".blob")) == (reports.SUCCESS, ["work/a"])


def test_equal_large_outputs_count_once(node: Node) -> None:
    for name in ("work/a", "work/b", "work/c"):
        node.put(name, b"a" * LARGE)
    node.stage(*map(Output, ("work/a", "work/b", "work/c")), deliver_limit=LARGE)
    assert node.report.reason == reports.SUCCESS
    assert node.check(".blob") == ["work/a", "work/b", "work/c"]


def test_logs_of_a_failed_job_that_do_not_fit_are_told(node: Node) -> None:
    node.report.reason = reports.PAYLOAD_FAILED
    node.put("work/long", os.urandom(500_000))
    node.put("work/log", b"why")
    node.stage(Output("work/long", "log"), LOG, deliver_limit=100_000, large_file=1 << 30)
    assert node.report.reason == reports.PAYLOAD_FAILED
    assert node.check(".blob") == ["work/log"]
    assert node.report.left_out == [
        "work/long: it takes 0.5 MB; the output sandbox holds only 0.1 MB"
    ]


def test_logs_come_before_incomplete_outputs(node: Node) -> None:
    node.report.reason = reports.PAYLOAD_FAILED
    node.put("work/out", os.urandom(20_000))
    node.put("work/small", b"s")
    node.put("work/log", os.urandom(60_000))
    outputs = (Output("work/out"), Output("work/small"), LOG)
    node.stage(*outputs, deliver_limit=75_000, deliver="lfn:/vo/x")
    assert node.check(".blob") == ["work/log", "work/small"]
    assert len(node.report.left_out) == 1


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    limit=st.integers(0, 20_000),
    success=st.booleans(),
    compression=st.sampled_from(["none", "gzip"]),
    long_name=st.booleans(),
)
def test_never_more_than_the_sandbox_holds(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    limit: int,
    success: bool,
    compression: str,
    long_name: bool,
) -> None:
    folder = tmp_path_factory.mktemp("sandbox")
    node = Node(folder)
    if not success:
        node.report.reason = reports.KILLED
    outputs = []
    for number, size in enumerate(sizes):
        name = f"work/{'x' * (200 if long_name else 1)}{number}"
        node.put(name, os.urandom(size))
        outputs.append(Output(name, "log" if number % 2 else "output"))
    node.stage(*outputs, deliver_limit=limit, compression=compression, large_file=2000)
    came = node.check(".blob")
    if node.report.reason == reports.SUCCESS:
        assert came == sorted(output.name for output in outputs)
    elif not success:
        assert len(came) + len(node.report.left_out) == len(outputs)


def test_an_error_leaves_no_blob(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TarballError("it changed")

    node.put("work/big", b"b" * LARGE)
    node.put("work/small", b"s")
    monkeypatch.setattr(delivery, "pack", fail)
    with pytest.raises(TarballError):
        node.stage(Output("work/big"), Output("work/small"), deliver_limit=1 << 20)
    assert node.check(".blob") == []


def test_an_error_leaves_a_shared_store_alone(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TarballError("it changed")

    data = node.put("work/big", b"b" * LARGE)
    node.put("work/small", b"s")
    store = tmp_path / "store"
    store.mkdir()
    (store / hashlib.sha256(data).hexdigest()).write_bytes(data)  # of another job
    monkeypatch.setattr(delivery, "pack", fail)
    with pytest.raises(TarballError):
        node.stage(Output("work/big"), Output("work/small"), deliver=store.as_uri())
    assert len(list(store.iterdir())) == 1
