"""Outputs that are larger than the user allows, have holes, or cannot leave the node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
from snakemake_executor_plugin_grid.worker.description import Output

from .worker_node import Node, both_pythons, node

__all__ = ["node"]

LOG = Output("work/log", "log", required=False)


@pytest.mark.parametrize("large_file", [1, 8 << 20])
def test_more_than_the_user_allows_fails_and_the_log_comes(node: Node, large_file: int) -> None:
    node.change(
        command="head -c 30000 /dev/urandom > a; cp a b; echo why > log",
        outputs=(Output("work/a"), Output("work/b"), LOG),
        output_limit=59_000,
        large_file=large_file,
    )
    report = node.run()
    assert report.reason == reports.OUTPUT_TOO_LARGE
    for word in ("60004 bytes", "--grid-output-limit", "grid_output_limit", "59000 bytes"):
        assert word in report.message
    assert [item.member.name for item in report.returned] == ["work/log"]


def test_what_the_user_allows_comes(node: Node) -> None:
    node.change(
        command="head -c 30000 /dev/urandom > a; truncate -s 1G b",
        outputs=(Output("work/a"), Output("work/b")),
        output_limit=30_600,  # with the map of the parts of b that hold data
    )
    report = node.run()
    assert report.reason == reports.SUCCESS
    assert {item.member.name for item in report.returned} == {"work/a", "work/b"}


def test_the_smaller_of_two_limits_counts_for_logs(node: Node) -> None:
    node.change(
        command="head -c 30000 /dev/urandom > a; head -c 9000 /dev/urandom > log",
        outputs=(Output("work/a"), LOG),
        output_limit=20_000,
        deliver="sandbox:",
        deliver_limit=5_000,
    )
    report = node.run()
    assert report.reason == reports.OUTPUT_TOO_LARGE
    assert report.returned == []
    assert len(report.left_out) == 1


@both_pythons
def test_holes_stay_on_the_node(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    node.change(
        command="truncate -s 40G a; echo x >> a; head -c 200000 /dev/urandom > b; truncate -s 1G b",
        outputs=(Output("work/a"), Output("work/b")),
        deliver=node.store.as_uri(),
        large_file=100_000,
    )
    report = node.run()
    assert report.reason == reports.SUCCESS
    assert len(report.blobs) == 2  # the one with much data has a tarball of its own
    assert report.bytes_out < 400_000
    for item in report.returned:
        manifest = {item.member.name: item.member}
        unpack(node.store / item.blob, {"work": tmp_path / "back"}, manifest=manifest)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "back").iterdir()}
    assert sizes == {"a": (40 << 30) + 2, "b": 1 << 30}
    assert (tmp_path / "back" / "a").stat().st_blocks * 512 < 100_000


@pytest.mark.parametrize("kind", ["FIFO", "device"])
def test_an_output_that_cannot_leave_the_node_fails_its_job(node: Node, kind: str) -> None:
    make = "mkfifo out" if kind == "FIFO" else f"ln -s {os.devnull} out"
    node.change(command=f"{make}; echo why > log", outputs=(Output("work/out"), LOG))
    report = node.run()
    assert report.reason == reports.OUTPUT_MISSING
    assert f"out, a {kind}" in report.message
    assert [item.member.name for item in report.returned] == ["work/log"]


def test_a_pipe_that_stays_is_no_output(node: Node) -> None:
    node.change(command="mkfifo p", outputs=(Output("work/p", "staying", required=False),))
    report = node.run()
    assert (report.reason, report.left_out) == (reports.SUCCESS, [])
