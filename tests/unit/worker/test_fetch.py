"""Inputs in DIRAC's catalog, with a stand-in for DIRAC's command."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import fetch
from snakemake_executor_plugin_grid.worker.description import Blob, InputDamagedError, Job
from snakemake_executor_plugin_grid.worker.fetch import locate
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.tree import Tree

DATA = b"from the grid" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
BLOB = Blob(DIGEST, len(DATA), f"lfn:/vo/user/m/me/{DIGEST}", kind="raw", name="work/in.txt")


class Node:
    """A worker node whose PATH holds nothing but what a test puts there."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.sandbox = folder / "sandbox"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        for path in (self.sandbox, self.bin):
            path.mkdir()
        (folder / "data").write_bytes(DATA)
        self.data = folder / "data"
        patch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")

    def command(self, script: str) -> None:
        path = self.bin / "dirac-dms-get-file"
        path.write_text(f'#!/bin/sh\necho "$@" >> {self.calls}\n{script}\n')
        path.chmod(0o755)

    @property
    def working(self) -> str:
        # As DIRAC's: into the current folder under the basename, never over another file.
        return f'name="${{1##*/}}"; test ! -e "$name" && cp {self.data} "$name"'

    def beside(self, data: bytes) -> Path:
        path = self.sandbox / DIGEST
        path.write_bytes(data)
        return path

    def locate(self, blob: Blob = BLOB) -> Path:
        return locate(blob, self.sandbox)

    def error(self) -> str:
        with pytest.raises(InputDamagedError) as caught:
            self.locate()
        return str(caught.value)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_what_the_wms_downloaded_is_taken(node: Node) -> None:
    node.command("exit 1")
    node.beside(DATA)
    assert node.locate() == node.sandbox / DIGEST
    assert not node.calls.exists()


def test_what_is_not_there_is_fetched_into_the_sandbox(node: Node) -> None:
    node.command(node.working)
    assert node.locate().read_bytes() == DATA
    assert node.calls.read_text() == f"LFN:/vo/user/m/me/{DIGEST}\n"


@pytest.mark.parametrize("data", [DATA[:-1], b"x" + DATA[1:], b""])
def test_what_was_downloaded_damaged_is_fetched_again_once(node: Node, data: bytes) -> None:
    node.command(node.working)
    node.beside(data)
    assert node.locate().read_bytes() == DATA
    assert len(node.calls.read_text().splitlines()) == 1


def test_a_name_in_the_catalog_is_taken_literally(node: Node) -> None:
    node.command(node.working)
    node.locate(replace(BLOB, url=f"lfn:/vo/a%20b/c?d#e/{DIGEST}"))
    assert node.calls.read_text() == f"LFN:/vo/a%20b/c?d#e/{DIGEST}\n"


def test_no_command(node: Node) -> None:
    error = node.error()
    assert error.startswith(f"input missing: work/in.txt: LFN:/vo/user/m/me/{DIGEST} ")
    assert error.endswith("no dirac-dms-get-file")


def test_a_command_that_fails_is_told_with_its_last_words(node: Node) -> None:
    node.command("seq 100000; echo; echo '  No such file  '; echo why >&2; exit 2")
    message = node.error()
    assert f"LFN:/vo/user/m/me/{DIGEST} could not be fetched: " in message
    assert message.endswith("ended with exit code 2: 100000 | No such file | why")


def test_a_command_that_fails_midway_is_told(node: Node) -> None:
    node.command('echo half > "${1##*/}"; exit 1')
    assert node.error().endswith("dirac-dms-get-file ended with exit code 1")


def test_a_command_that_leaves_nothing_is_told(node: Node) -> None:
    node.command("true")
    assert node.error().endswith("dirac-dms-get-file left no file")


def test_damaged_and_not_to_be_had_again(node: Node) -> None:
    node.beside(b"damaged")
    assert re.search("could not be fetched.*copy DIRAC downloaded is damaged", node.error())


def test_a_command_that_hangs_is_ended_with_its_children(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_TIME_LIMIT", 0.3)
    pids = node.sandbox / "pids"
    node.command(f"sleep 300 & echo $! > {pids}; wait")
    began = time.monotonic()
    assert "took longer than 0.3 s" in node.error()
    assert time.monotonic() - began < 5
    status = Path(f"/proc/{pids.read_text().strip()}/status")
    until = time.monotonic() + 5
    while status.exists() and "zombie" not in status.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_comes_damaged_is_told_with_its_name(node: Node, tmp_path: Path) -> None:
    node.data.write_bytes(b"damaged")
    node.command(node.working)
    job = Job("n", "c", (), (BLOB,), (), Runtime("inherit"))
    with pytest.raises(InputDamagedError, match=rf"input damaged: .*lfn:/vo/user/m/me/{DIGEST}"):
        stage_in(job, node.sandbox, Tree(tmp_path / "tree", ()), tmp_path / "runtime")
    assert len(node.calls.read_text().splitlines()) == 1


def test_what_lies_damaged_in_a_store_can_be_stored_again(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.data.write_bytes(b"damaged")
    calls: list[str] = []

    def get(url: str, path: Path, *, public: bool) -> None:
        calls.append(url)
        path.write_bytes(node.data.read_bytes())

    blob = replace(BLOB, url=f"https://host/{DIGEST}?signature")
    job = Job("n", "c", (), (blob,), (), Runtime("inherit"))
    monkeypatch.setattr(fetch.urls, "get", get)
    with pytest.raises(InputDamagedError, match="snakemake-grid clean") as caught:
        stage_in(job, node.sandbox, Tree(tmp_path / "tree", ()), tmp_path / "runtime")
    assert calls == [blob.url] * 2
    assert "signature" not in str(caught.value)


def test_a_store_that_the_worker_does_not_know(node: Node) -> None:
    with pytest.raises(InputDamagedError, match="cannot read s3:// URLs"):
        node.locate(replace(BLOB, url="s3://bucket/x"))
