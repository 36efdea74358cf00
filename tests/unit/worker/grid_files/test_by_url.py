"""Outputs that the worker stores on servers without a catalog: real WebDAV and XRootD servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.grid_files import by_url
from snakemake_executor_plugin_grid.worker.grid_files.records import GridInput, GridOutput
from snakemake_executor_plugin_grid.worker.grid_files.stagein import fetch
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from snakemake_executor_plugin_grid.worker.transfer import urls
from snakemake_executor_plugin_grid.worker.transfer.errors import TransferError
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.flaky import Handler, flaky
from tests.servers.stores.webdav import TOKEN, WebDavServer
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

from .node import Node, adler
from .test_grid_files import stored

__all__ = ["webdav"]

OLD = 1_700_000_000


@dataclass
class Place:
    """A folder of a server."""

    node: Node
    url: str
    data: Path

    def put_old(self, content: bytes, mtime: int = OLD) -> str:
        """Let a file be there; return how the submit host describes it."""
        path = self.data / "x"
        path.write_bytes(content)
        os.utime(path, (mtime, mtime))
        return f"{len(content)}:{adler(content)}:{mtime}"

    def output(self, **fields: object) -> GridOutput:
        one = GridOutput("work/out/x", f"{self.url}/x", f"{self.url}/x", guid="G1")
        return replace(one, **fields)  # type: ignore[arg-type]

    def store(self, content: bytes, **fields: object) -> Report:
        self.node.make("work/out/x", content)
        return stored(self.node, self.output(**fields))

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.data.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def root() -> Iterator[XrootdServer]:
    with xrootd_server() as server:
        yield server


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setenv("BEARER_TOKEN", TOKEN)
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "none"))
    monkeypatch.setattr(transfer_retry, "PAUSES", (0.01,))
    return Node(tmp_path, monkeypatch)


@pytest.fixture(params=["dav", "root"])
def place(request: pytest.FixtureRequest, node: Node) -> Place:
    if request.param == "dav":
        dav: WebDavServer = request.getfixturevalue("webdav")
        url, data = f"{dav.url}/d", dav.data / "d"
    else:
        server: XrootdServer = request.getfixturevalue("root")
        name = request.node.name
        url, data = f"{server.url}/{name}", server.data(f"/store/{name}")
    data.mkdir()
    data.chmod(0o777)
    return Place(node, url, data)


@pytest.mark.parametrize("content", [b"", b"data"], ids=["empty", "full"])
def test_an_output_is_stored_and_reported(place: Place, content: bytes) -> None:
    report = place.store(content)
    assert report.reason == reports.SUCCESS, report.message
    assert place.files == {"x": content}
    (one,) = report.stored
    assert (one.query, one.size, one.adler32) == (f"{place.url}/x", len(content), adler(content))


def test_folders_are_made(place: Place) -> None:
    url = f"{place.url}/a/b c/x"
    report = place.store(b"data", query=url, url=url)
    assert report.reason == reports.SUCCESS, report.message
    assert (place.data / "a" / "b c" / "x").read_bytes() == b"data"


def test_the_file_that_was_there_before_is_replaced(place: Place) -> None:
    before = place.put_old(b"old")
    report = place.store(b"new data", before=before)
    assert report.reason == reports.SUCCESS, report.message
    assert place.files == {"x": b"new data"}


def test_the_same_content_as_before_gets_a_new_time(place: Place) -> None:
    before = place.put_old(b"same")
    assert place.store(b"same", before=before).reason == reports.SUCCESS
    assert (place.data / "x").stat().st_mtime > OLD + 1000
    assert place.files == {"x": b"same"}


@pytest.mark.parametrize("before", ["", f"3:{adler(b'odd')}:{OLD}", f"3:{adler(b'old')}:{OLD - 9}"])
def test_no_other_file_is_replaced(place: Place, before: str) -> None:
    """A later attempt has written it, for instance: this one was given up for lost."""
    place.put_old(b"old", OLD if before else OLD + 1)
    if before.startswith("3:") and before.endswith(f":{OLD}"):
        place.put_old(b"old", OLD + 5)  # where the server tells no checksum, it has another time
    report = place.store(b"new data", before=before)
    assert report.reason == reports.OUTPUT_NOT_STORED
    assert "another job has written" in report.message
    assert report.stored == []
    assert place.files == {"x": b"old"}


def test_the_same_content_is_success_whoever_wrote_it(place: Place) -> None:
    place.put_old(b"same")
    assert place.store(b"same").reason == reports.SUCCESS
    assert place.files == {"x": b"same"}
    assert int((place.data / "x").stat().st_mtime) == OLD


def test_what_comes_during_the_upload_stays(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.put_old(b"old")
    put = urls.put

    def slow(path: Path, folder: str, name: str) -> None:
        put(path, folder, name)
        place.put_old(b"of a later attempt", OLD + 100)

    monkeypatch.setattr(by_url.urls, "put", slow)
    report = place.store(b"new data", before=before)
    assert "another job has written" in report.message
    assert place.files == {"x": b"of a later attempt"}


def test_a_lost_answer_to_the_renaming_is_success(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = urls.move

    def twice(source: str, target: str, *, replace: bool) -> None:
        move(source, target, replace=replace)
        move(source, target, replace=replace)

    monkeypatch.setattr(by_url.urls, "move", twice)
    report = place.store(b"data", before=place.put_old(b"old"))
    assert report.reason == reports.SUCCESS, report.message
    assert place.files == {"x": b"data"}


def test_death_before_the_renaming_leaves_the_old_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.put_old(b"old")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(by_url.urls, "move", die)
        with pytest.raises(KeyboardInterrupt):
            place.store(b"new data", before=before)
    assert place.files == {"x": b"old", ".G1.part": b"new data"}
    assert place.output().part == f"{place.url}/.G1.part"  # which the submit host removes
    assert place.store(b"newer", before=before, guid="G2").reason == reports.SUCCESS
    assert place.files["x"] == b"newer"


def test_an_input_is_fetched_and_checked(place: Place) -> None:
    place.put_old(b"data")
    name = f"{place.url}/x"
    one = GridInput("work/in/x", name, 4, adler(b"data"), 10**18, (name,))
    (place.node.sandbox / "x").write_bytes(b"else")  # of the job's own, with the same name
    fetch([replace(one, adler32="")], place.node.sandbox, place.node.scratch, place.node.tree)
    assert place.node.tree.path("work/in/x").read_bytes() == b"data"
    assert place.node.tree.path("work/in/x").stat().st_mtime_ns == 10**18


def answers(handler: Handler) -> None:
    """Be a server that renames nothing, with an old file."""
    if handler.command == "PUT":
        handler.ask_for_body()
        handler.answer(201)
    elif handler.command == "MOVE":
        handler.answer(405)
    elif "part" in handler.path:
        handler.answer(200, Content_Length="4", Digest=f"adler32={adler(b'data')}")
    else:
        modified = "Tue, 14 Nov 2023 22:13:20 GMT"
        handler.answer(200, Content_Length="3", Last_Modified=modified)


def test_a_server_that_renames_nothing_keeps_the_old_file(node: Node) -> None:
    with flaky(answers) as server:
        url = f"dav://127.0.0.1:{server.server_port}/x"
        node.make("work/out/x", b"data")
        one = GridOutput("work/out/x", url, url, guid="G1", before=f"3:0a1b2c3d:{OLD}")
        report = stored(node, one)
    assert "renaming: 405" in report.message
    removed = [path for method, path, _ in server.seen if method == "DELETE"]
    assert removed == ["/.G1.part"]


@pytest.mark.parametrize("status", [403, 500])
def test_an_error_is_not_taken_for_an_absent_file(node: Node, status: int) -> None:
    with flaky(lambda handler: handler.answer(status)) as server:
        url = f"dav://127.0.0.1:{server.server_port}/x"
        node.make("work/out/x", b"data")
        report = stored(node, GridOutput("work/out/x", url, url, guid="G1"))
    assert report.reason == reports.OUTPUT_NOT_STORED
    assert {method for method, _, _ in server.seen} == {"HEAD"}


def test_a_name_of_a_folder_is_refused(root: XrootdServer) -> None:
    with pytest.raises(TransferError, match="is a folder"):
        urls.facts(root.url)
