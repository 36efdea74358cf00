from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.worker.archive.member import Member
from snakemake_executor_plugin_grid.worker.archive.unpack import unpack
from snakemake_executor_plugin_grid.worker.description import Job, Output
from snakemake_executor_plugin_grid.worker.report import Report, Returned
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stageout import missing_outputs, stage_out, undeclared
from snakemake_executor_plugin_grid.worker.tree import Tree

LARGE = 1000


class Node:
    """A job that has run."""

    def __init__(self, folder: Path) -> None:
        self.sandbox = folder / "sandbox"
        self.tree = Tree(self.sandbox / "tree", ("home",))
        self.job = Job("j", "", ("home",), (), (), Runtime("inherit"), large_file=LARGE)
        self.report = Report("j")
        self.landing = folder / "landing"

    def put(self, name: str, text: str) -> Path:
        path = self.tree.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def link(self, name: str, target: str | Path) -> None:
        path = self.tree.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def stage(self, *outputs: str | Output, staged: set[str] | None = None, **job: Any) -> None:
        selected = [Output(item) if isinstance(item, str) else item for item in outputs]
        self.job = replace(self.job, **job)
        stage_out(self.job, self.sandbox, self.tree, staged or set(), selected, self.report)

    @property
    def returned(self) -> dict[str, Returned]:
        found = {returned.member.name: returned for returned in self.report.returned}
        assert len(found) == len(self.report.returned)
        return found

    def member(self, name: str) -> Member:
        return self.returned[name].member

    def land(self) -> Path:
        """Unpack the tarballs, as the submit host does."""
        work = self.landing / "home"
        work.mkdir(parents=True)
        for digest in {returned.blob for returned in self.report.returned if not returned.raw}:
            blob = self.sandbox / "out" / digest
            assert self.report.blobs[digest] == blob.stat().st_size
            unpack(
                blob,
                {"work": work, "up1": self.landing},
                digest=digest,
                compression=self.job.compression,
            )
        return work


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_small_outputs_come_in_one_tarball(node: Node) -> None:
    node.put("work/a", "A").chmod(0o755)
    node.put("up1/shared/b", "B")
    node.put("work/log", "L")
    os.utime(node.tree.path("work/a"), ns=(0, 1_700_000_000_123_456_789))
    node.stage("work/a", "up1/shared/b", Output("work/log", "log"))
    assert len(node.report.blobs) == 1
    assert {name: item.kind for name, item in node.returned.items()} == {
        "work/a": "output",
        "up1/shared/b": "output",
        "work/log": "log",
    }
    member = node.member("work/a")
    assert (member.mode, member.size) == (0o755, 1)
    assert member.mtime_ns == 1_700_000_000_123_456_789
    assert member.sha256 == hashlib.sha256(b"A").hexdigest()
    assert node.report.bytes_out == sum(node.report.blobs.values())
    work = node.land()
    assert (work / "a").read_text() == "A"
    assert (work.parent / "shared" / "b").read_text() == "B"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_tarball_is_compressed_as_asked(node: Node, compression: str) -> None:
    node.put("work/a", "a" * 900)
    node.stage("work/a", compression=compression)
    assert (node.land() / "a").read_text() == "a" * 900


def test_large_output_comes_as_it_is(node: Node) -> None:
    node.put("work/big", "b" * LARGE).chmod(0o750)
    node.put("work/small", "s")
    node.stage("work/big", "work/small")
    returned = node.returned["work/big"]
    digest = hashlib.sha256(b"b" * LARGE).hexdigest()
    assert returned.raw
    assert (returned.blob, returned.member.sha256) == (digest, digest)
    assert (returned.member.mode, returned.member.size) == (0o750, LARGE)
    assert (node.sandbox / "out" / digest).read_text() == "b" * LARGE
    assert node.report.blobs[digest] == LARGE
    assert not node.returned["work/small"].raw


def test_large_outputs_with_the_same_content_are_delivered_once(node: Node) -> None:
    node.put("work/a", "b" * LARGE)
    node.put("work/b", "b" * LARGE)
    node.stage("work/a", "work/b")
    assert len(node.report.blobs) == 1
    assert node.report.bytes_out == LARGE
    assert set(node.returned) == {"work/a", "work/b"}


def test_second_name_of_a_large_output_keeps_its_mode(node: Node) -> None:
    node.put("work/a", "b" * LARGE).chmod(0o755)
    os.link(node.tree.path("work/a"), node.tree.path("work/b"))
    node.stage("work/a", "work/b")
    assert [node.member(name).mode for name in ("work/a", "work/b")] == [0o755, 0o755]


def test_outputs_go_to_the_store_that_was_named(node: Node, tmp_path: Path) -> None:
    store = tmp_path / "my store"
    node.put("work/a", "A")
    node.put("work/big", "b" * LARGE)
    node.stage("work/a", "work/big", deliver=store.as_uri())
    assert {path.name for path in store.iterdir()} == set(node.report.blobs)
    assert len(node.report.blobs) == 2


def test_store_that_the_worker_does_not_know(node: Node) -> None:
    with pytest.raises(ValueError, match="cannot write to s3:// URLs"):
        node.stage("work/a", deliver="s3://bucket/x")


def test_no_outputs_are_no_tarball(node: Node) -> None:
    node.stage("work/missing")
    assert node.report.blobs == {}
    assert node.report.returned == []
    assert node.report.bytes_out == 0


def test_folder_comes_with_all_that_is_in_it(node: Node) -> None:
    node.put("work/d/a", "A")
    node.put("work/d/e/big", "b" * LARGE)
    node.tree.path("work/d/empty").mkdir()
    node.stage("work/d")
    assert set(node.returned) == {"work/d", "work/d/a", "work/d/e", "work/d/e/big", "work/d/empty"}
    assert node.returned["work/d/e/big"].raw
    assert (node.land() / "d" / "empty").is_dir()


def test_output_below_another_comes_once(node: Node) -> None:
    node.put("work/d/a", "A")
    node.put("work/d/big", "b" * LARGE)
    node.stage("work/d", "work/d/a", "work/d/big")
    assert set(node.returned) == {"work/d", "work/d/a", "work/d/big"}


def test_link_to_another_output_stays_a_link(node: Node) -> None:
    node.put("work/d/a", "A")
    node.link("work/rel", "d/a")
    node.link("work/abs", node.tree.path("work/d/a"))
    node.link("work/d/up", "../d/a")
    node.stage("work/d", "work/rel", "work/abs")
    assert node.member("work/rel").target == "d/a"
    assert node.member("work/abs").target == "d/a"
    assert node.member("work/d/up").target == "a"
    work = node.land()
    assert (work / "abs").is_symlink()
    assert (work / "abs").read_text() == "A"


def test_link_to_an_input_stays_a_link(node: Node) -> None:
    node.put("work/in", "I")
    node.put("up1/shared/x/in", "I")
    node.link("work/a", "in")
    node.link("work/b", "../shared/x/in")
    node.link("work/c", "../shared/x")
    node.stage("work/a", "work/b", "work/c", staged={"work/in", "up1/shared/x/in"})
    assert [node.member(f"work/{name}").target for name in "abc"] == [
        "in",
        "../shared/x/in",
        "../shared/x",
    ]


def test_link_to_what_stays_behind_comes_as_its_content(node: Node, tmp_path: Path) -> None:
    node.put("work/scratch", "S")
    (tmp_path / "outside").write_text("O" * LARGE)
    node.link("work/a", "scratch")
    node.link("work/b", tmp_path / "outside")
    node.stage("work/a", "work/b")
    assert [node.member(name).kind for name in ("work/a", "work/b")] == ["file", "file"]
    assert node.returned["work/b"].raw
    assert (node.land() / "a").read_text() == "S"


def test_link_to_a_folder_that_stays_behind_comes_as_the_folder(node: Node, tmp_path: Path) -> None:
    (tmp_path / "outside" / "e").mkdir(parents=True)
    (tmp_path / "outside" / "e" / "x").write_text("X")
    (tmp_path / "outside" / "y").symlink_to("e/x")
    node.link("work/a", tmp_path / "outside")
    node.stage("work/a")
    work = node.land()
    assert (work / "a" / "e" / "x").read_text() == "X"
    assert (work / "a" / "y").read_text() == "X"
    assert not (work / "a").is_symlink()


def test_broken_link_within_the_job_stays_a_link(node: Node) -> None:
    node.link("work/a", "missing")
    node.stage("work/a")
    assert node.member("work/a").target == "missing"
    assert node.report.left_out == []


def test_broken_link_out_of_the_job_is_left_out_and_told(node: Node) -> None:
    node.put("work/d/x", "X")
    node.link("work/d/a", "/nonexistent/file")
    node.stage("work/d")
    assert set(node.returned) == {"work/d", "work/d/x"}
    [left_out] = node.report.left_out
    assert re.match("work/d/a: .*link to /nonexistent/file.* outside", left_out)


def test_link_in_a_circle_ends(node: Node, tmp_path: Path) -> None:
    node.link("work/a", "b")
    node.link("work/b", "a")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "again").symlink_to(outside)
    node.link("work/c", outside)
    node.stage("work/a", "work/c")
    assert node.member("work/a").target == "b"
    assert len(node.report.left_out) == 1


def test_what_is_no_file_does_not_come_and_is_told(node: Node) -> None:
    node.put("work/d/x", "X")
    os.mkfifo(node.tree.path("work/d/pipe"))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(node.tree.path("work/d/sock")))
    node.link("work/d/null", os.devnull)
    node.stage("work/d")
    assert set(node.returned) == {"work/d", "work/d/x"}
    told = {text.partition(":")[0]: text for text in node.report.left_out}
    assert told.keys() == {"work/d/pipe", "work/d/sock", "work/d/null"}
    for name, kind in (("pipe", "FIFO"), ("sock", "socket"), ("null", "device")):
        assert kind in told[f"work/d/{name}"]


def test_missing_outputs(node: Node) -> None:
    node.put("work/a", "")
    node.link("work/broken", "nowhere")
    outputs = (
        Output("work/a"),
        Output("work/broken"),
        Output("work/b"),
        Output("work/optional", required=False),
    )
    assert missing_outputs(replace(node.job, outputs=outputs), node.tree) == ["work/b"]


def test_undeclared_files(node: Node) -> None:
    for name in ("work/in", "work/out", "work/d/x", "work/new", "up1/new", "work/outer"):
        node.put(name, "")
    node.put("work/.snakemake/x", "")
    found = undeclared(node.tree, {"work/in"}, [Output("work/out"), Output("work/d")])
    assert sorted(found) == ["up1/new", "work/new", "work/outer"]
