"""Files that the worker fetches from the grid and stores there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import InputDamagedError
from snakemake_executor_plugin_grid.worker.grid_files.checksum import same
from snakemake_executor_plugin_grid.worker.grid_files.dirac import PYTHON
from snakemake_executor_plugin_grid.worker.grid_files.records import GridOutput
from snakemake_executor_plugin_grid.worker.grid_files.stagein import fetch
from snakemake_executor_plugin_grid.worker.grid_files.stageout import store
from snakemake_executor_plugin_grid.worker.report import Report

from .node import Node, adler, grid_input, grid_output


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def stored(node: Node, *outputs: GridOutput) -> Report:
    report = Report("job-00000000-1", reason=reports.SUCCESS)
    store(outputs, node.scratch, node.tree, report)
    return report


# Inputs


def test_files_of_the_same_name_are_fetched_to_their_own_places(node: Node) -> None:
    node.register("/vo/a/x", b"first")
    node.register("/vo/b/x", b"second")
    one, two = grid_input("/vo/a/x", b"first"), grid_input("/vo/b/x", b"second")
    assert fetch([one, two], node.sandbox, node.scratch, node.tree) == 11
    assert node.tree.path(one.name).read_bytes() == b"first"
    assert node.tree.path(two.name).read_bytes() == b"second"
    assert node.tree.path(one.name).stat().st_mtime_ns == 10**18


def test_a_file_can_be_an_input_twice(node: Node) -> None:
    node.register("/vo/x", b"data")  # of two providers of the Snakefile
    one = grid_input("/vo/x", b"data")
    two = replace(one, name="work/other/vo/x")
    fetch([one, two], node.sandbox, node.scratch, node.tree)
    assert node.tree.path(one.name).read_bytes() == node.tree.path(two.name).read_bytes() == b"data"


def test_what_the_wms_has_brought_is_taken_if_it_is_whole(node: Node) -> None:
    (node.sandbox / "x").write_bytes(b"first")
    one = grid_input("/vo/a/x", b"first")
    fetch([one], node.sandbox, node.scratch, node.tree)  # the catalog does not have it
    assert node.tree.path(one.name).read_bytes() == b"first"
    (node.sandbox / "y").write_bytes(b"wrong")
    node.register("/vo/a/y", b"right")
    two = grid_input("/vo/a/y", b"right")
    node.scratch.joinpath("grid-inputs").rmdir()
    fetch([two], node.sandbox, node.scratch, node.tree)
    assert node.tree.path(two.name).read_bytes() == b"right"


def test_the_next_replica_is_tried(node: Node, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_bytes(b"damag")
    good.write_bytes(b"whole")
    one = grid_input("/vo/x", b"whole", urls=("lfn:/vo/x", bad.as_uri(), good.as_uri()))
    fetch([one], node.sandbox, node.scratch, node.tree)
    assert node.tree.path(one.name).read_bytes() == b"whole"


def test_an_empty_file_has_no_replica(node: Node) -> None:
    one = grid_input("/vo/empty", b"")
    fetch([one], node.sandbox, node.scratch, node.tree)
    assert node.tree.path(one.name).read_bytes() == b""


def test_a_file_that_is_damaged_everywhere_is_named(node: Node, tmp_path: Path) -> None:
    node.register("/vo/x", b"wrong")
    one = grid_input("/vo/x", b"right", urls=("lfn:/vo/x", (tmp_path / "none").as_uri()))
    with pytest.raises(InputDamagedError, match=r"lfn:/vo/x .*Adler-32 .*no file at"):
        fetch([one], node.sandbox, node.scratch, node.tree)
    assert not node.tree.path(one.name).exists()


def test_a_node_without_dirac(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PYTHON)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputDamagedError, match="no dirac-dms-get-file"):
        fetch([grid_input("/vo/x", b"x")], node.sandbox, node.scratch, node.tree)
    node.make("work/out/vo/x", b"x")
    report = stored(node, grid_output("/vo/x"))
    assert report.reason == reports.OUTPUT_NOT_STORED
    assert "no dirac-dms-get-file" in report.message


# Outputs


def test_an_output_is_stored_and_reported(node: Node) -> None:
    node.make("work/out/vo/x", b"data")
    report = stored(node, grid_output("/vo/x"))
    assert report.reason == reports.SUCCESS, report.message
    assert node.content("/vo/x") == b"data"
    assert node.files["/vo/x"]["GUID"] == "G1"
    (one,) = report.stored
    assert (one.query, one.size, one.adler32) == ("lfn:/vo/x", 4, adler(b"data"))


@pytest.mark.parametrize(
    ("guid", "fields", "replaced"),
    [
        ("other", {}, False),
        ("other", {"may_replace": ("G0",)}, False),
        ("G0", {"may_replace": ("G0",)}, True),
        ("other", {"before": f"3:{adler(b'old')}"}, True),
        ("other", {"before": f"3:{adler(b'odd')}"}, False),
    ],
)
def test_only_what_was_there_before_or_is_of_an_earlier_attempt_is_replaced(
    node: Node, guid: str, fields: dict[str, object], replaced: bool
) -> None:
    node.register("/vo/x", b"old", guid)
    node.make("work/out/vo/x", b"new data")
    report = stored(node, replace(grid_output("/vo/x"), **fields))  # type: ignore[arg-type]
    assert node.content("/vo/x") == (b"new data" if replaced else b"old")
    assert (report.reason == reports.SUCCESS) is replaced
    assert [one.query for one in report.stored] == (["lfn:/vo/x"] if replaced else [])
    if not replaced:
        assert "another job has written" in report.message


def test_the_same_content_is_success_whoever_wrote_it(node: Node) -> None:
    node.register("/vo/x", b"same", "other")
    node.make("work/out/vo/x", b"same")
    assert stored(node, grid_output("/vo/x")).reason == reports.SUCCESS
    assert node.files["/vo/x"]["GUID"] == "other"


def test_the_same_content_as_before_gets_the_time_of_this_job(node: Node) -> None:
    node.register("/vo/x", b"same", "old run")
    node.make("work/out/vo/x", b"same")
    one = grid_output("/vo/x", before=f"4:{adler(b'same')}")
    assert stored(node, one).reason == reports.SUCCESS
    assert node.files["/vo/x"]["GUID"] == "G1"  # else its input would stay newer for ever


def test_an_empty_output_leaves_the_old_file(node: Node) -> None:
    node.register("/vo/x", b"old", "old run")
    node.make("work/out/vo/x", b"")
    report = stored(node, grid_output("/vo/x", before=f"3:{adler(b'old')}"))
    assert "zero size" in report.message
    assert "/vo/x" in node.files


@pytest.mark.parametrize("leaf", ["job.json", "environment.json", "payload.log"])
def test_the_workers_own_files_are_no_inputs(node: Node, leaf: str) -> None:
    (node.sandbox / leaf).write_bytes(b"of the worker")
    node.register(f"/vo/{leaf}", b"data")
    empty, full = grid_input(f"/vo/empty/{leaf}", b""), grid_input(f"/vo/{leaf}", b"data")
    fetch([empty, full], node.sandbox, node.scratch, node.tree)
    assert (node.sandbox / leaf).read_bytes() == b"of the worker"
    assert node.tree.path(full.name).read_bytes() == b"data"
    assert node.tree.path(empty.name).read_bytes() == b""


def test_passing_errors_are_tried_again(node: Node) -> None:
    node.make("work/out/vo/x", b"data")
    node.trouble("metadata", "1604 TLS reset", "1604 TLS reset")
    node.trouble("put", "connection reset by peer")
    assert stored(node, grid_output("/vo/x")).reason == reports.SUCCESS
    assert node.content("/vo/x") == b"data"


def test_one_output_that_cannot_be_stored_fails_the_job(node: Node) -> None:
    node.make("work/out/vo/x", b"data")
    node.make("work/out/vo/empty", b"")
    report = stored(node, grid_output("/vo/x"), grid_output("/vo/empty"))
    assert report.reason == reports.OUTPUT_NOT_STORED
    assert "lfn:/vo/empty: Supplied file is zero size" in report.message
    assert [one.query for one in report.stored] == ["lfn:/vo/x"]


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_only_files_are_stored(node: Node, tmp_path: Path, kind: str) -> None:
    path = node.tree.path("work/out/vo/x")
    path.parent.mkdir(parents=True)
    path.mkdir() if kind == "folder" else path.symlink_to(tmp_path)
    report = stored(node, grid_output("/vo/x"))
    assert report.reason == reports.OUTPUT_MISSING
    assert node.files == {}


def test_checksums_with_and_without_zeros_are_the_same() -> None:
    assert same("0A1b2c3d", "a1b2c3d")
    assert not same("0a1b2c3d", "0a1b2c3e")
