"""Full disks, damaged inputs and a store that cannot be written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob, Output

from .worker_node import Node, both_pythons, node

__all__ = ["node"]


def damage(node: Node, blob: Blob, how: str) -> None:
    path = node.store / blob.digest
    data = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "longer":
        path.write_bytes(data + b"x")
    elif how == "a byte":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif how == "dangling":
        path.symlink_to("nowhere")
    elif how == "a folder":
        path.mkdir()
    elif how == "a fifo":
        os.mkfifo(path)


@both_pythons
@pytest.mark.parametrize("kind", ["tar", "raw"])
def test_damaged_inputs_are_refused(tmp_path: Path, python: str, kind: str) -> None:
    for how in ("cut", "longer", "a byte", "missing", "dangling", "a folder", "a fifo"):
        folder = tmp_path / how.replace(" ", "-")
        folder.mkdir()
        node = Node(folder, python)
        blob = node.tar(a="x" * 999) if kind == "tar" else node.raw("work/a", b"x" * 999)
        damage(node, blob, how)
        node.change(blobs=(blob,), command="echo ran")
        report = node.run()
        assert report.reason == reports.INPUT_DAMAGED, (how, report)
        assert blob.digest in report.message or "work/a" in report.message, (how, report)
        assert not (node.sandbox / "payload.log").exists()


def test_payload_fills_the_disk(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(
        command="echo l > log; dd if=/dev/zero of=out bs=64k status=none",
        outputs=(Output("work/out"), Output("work/log", "log", required=False)),
    )
    report = node.run()
    assert report.reason == reports.OUT_OF_DISK
    assert "disk of the worker node is full" in report.message
    # The log of the rule is returned: outputs that are not returned make room for it.
    assert [item.member.name for item in report.returned] == ["work/log"]


def test_full_disk_is_recognized_in_the_log(node: Node) -> None:
    node.change(command="echo 'cp: a: No space left on device'; exit 1")
    assert node.run().reason == reports.OUT_OF_DISK


@pytest.mark.parametrize("large_file", [1, 8 << 20], ids=["raw", "tar"])
def test_disk_is_full_when_outputs_are_packed(small_disk: Path, large_file: int) -> None:
    node = Node(small_disk)
    # The store is on another file system, so it cannot share the blocks of the output.
    node.change(
        command="head -c 2600000 /dev/zero > out",
        outputs=(Output("work/out"),),
        large_file=large_file,
        deliver=(small_disk / "store").as_uri() if large_file > 1 else "",
    )
    report = node.run()
    if large_file == 1:
        assert report.reason == reports.SUCCESS  # a second link takes no space
        return
    assert report.reason == reports.OUT_OF_DISK
    assert not report.returned
    assert not [path for path in (small_disk / "store").iterdir() if path.stat().st_size]


def test_inputs_fill_the_disk(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(blobs=(node.raw("work/a", os.urandom(2_600_000)),))
    report = node.run()
    assert report.reason == reports.NO_ROOM  # another node may have more
    assert "disk of the worker node is full" in report.message


def test_disk_is_full_before_the_job(small_disk: Path) -> None:
    node = Node(small_disk)
    node.change(command="head -c 99999 /dev/zero > out", outputs=(Output("work/out"),))
    free = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(free - 64_000))
    assert node.run().reason == reports.OUT_OF_DISK


def test_store_that_cannot_be_written(node: Node) -> None:
    target = node.top / "file"
    target.write_text("in the way")
    node.change(command="echo > out", outputs=(Output("work/out"),), deliver=target.as_uri())
    report = node.run()
    assert report.reason == reports.WORKER_FAILED
    assert str(target) in report.message
