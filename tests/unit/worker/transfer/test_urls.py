"""The worker with a remote store: inputs from there, outputs, log and report back there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.stores import open_transport
from snakemake_executor_plugin_grid.worker import fetch, stageout
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.description import Blob, InputDamagedError, Job, Output
from snakemake_executor_plugin_grid.worker.fetch import locate
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime
from snakemake_executor_plugin_grid.worker.stagein import stage_in
from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from snakemake_executor_plugin_grid.worker.tree import Tree
from tests.servers.stores.fixtures import s3, webdav
from tests.servers.stores.flaky import Handler, Script, flaky
from tests.servers.stores.webdav import TOKEN, WebDavServer
from tests.unit.worker.worker_node import Node, both_pythons

__all__ = ["s3", "webdav"]

DATA = b"from the grid" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()
LARGE = 10_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer_retry, "PAUSES", (0.01,))
    monkeypatch.setenv("BEARER_TOKEN", TOKEN)
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "none"))


def served(data: bytes) -> Script:
    def act(handler: Handler) -> None:
        handler.answer(200, data)

    return act


def absent(handler: Handler) -> None:
    handler.answer(404)


def blob_at(url: str) -> Blob:
    return Blob(DIGEST, len(DATA), f"{url}/x?Signature=secret", kind="raw", name="work/in.txt")


def test_an_input_is_downloaded_once(tmp_path: Path) -> None:
    with flaky(served(DATA)) as server:
        for _ in range(2):
            assert locate(blob_at(server.url), tmp_path).read_bytes() == DATA
    assert len(server.seen) == 1


@pytest.mark.parametrize("damaged", [DATA[:-1], DATA[:-1] + b"?"])
def test_a_damaged_download_is_fetched_once_more(tmp_path: Path, damaged: bytes) -> None:
    with flaky(served(damaged), served(DATA)) as server:
        assert locate(blob_at(server.url), tmp_path).read_bytes() == DATA
    assert len(server.seen) == 2
    assert "Range" not in server.seen[1][2]


def staged(blob: Blob, folder: Path) -> Path:
    job = Job("j", "", (), (blob, replace(blob, name="work/two")), (), Runtime("inherit"))
    tree = Tree(folder / "tree", ())
    stage_in(job, folder, tree, folder / "runtime")
    return tree.path("work/in.txt")


def test_what_was_downloaded_is_removed_when_it_is_staged(tmp_path: Path) -> None:
    with flaky(served(DATA)) as server:
        assert staged(blob_at(server.url), tmp_path).read_bytes() == DATA
    assert len(server.seen) == 1, "the same content was fetched twice"
    assert not (tmp_path / DIGEST).exists()


def test_an_input_that_stays_damaged_is_named(tmp_path: Path) -> None:
    with flaky(served(DATA[:-1])) as server, pytest.raises(InputDamagedError) as caught:
        staged(blob_at(server.url), tmp_path)
    assert f"input damaged: work/in.txt: {len(DATA) - 1} bytes" in str(caught.value)
    assert f"({server.url}/x)" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(server.seen) == 2


def test_an_input_that_is_missing_is_named(tmp_path: Path) -> None:
    with flaky(absent) as server, pytest.raises(InputDamagedError) as caught:
        locate(blob_at(server.url), tmp_path)
    assert str(caught.value) == f"input missing: work/in.txt: {server.url}/x: 404 Not Found"


def test_what_lies_beside_the_job_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / DIGEST).write_bytes(DATA)
    blob = Blob(DIGEST, len(DATA), "", kind="raw", name="work/in.txt")
    fetch.forget(blob, tmp_path)
    assert (tmp_path / DIGEST).exists()


def stage_outputs(tmp_path: Path, deliver: str, reason: str = reports.SUCCESS) -> Report:
    tree = Tree(tmp_path / "scratch" / "tree", ())
    for name, size in {"work/small": 10, "work/large": LARGE, "work/log": 5}.items():
        path = tree.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"." * size)
    outputs = [Output("work/small"), Output("work/large"), Output("work/log", "log")]
    job = Job("j", "", (), (), (), Runtime("inherit"), large_file=LARGE, deliver=deliver)
    report = Report("j", reason=reason)
    stageout.stage_out(job, tmp_path, tree, set(), outputs, report)
    return report


def test_outputs_are_put_where_they_should_go(tmp_path: Path, webdav: WebDavServer) -> None:
    report = stage_outputs(tmp_path, f"{webdav.url}/me/j")
    assert report.reason == reports.SUCCESS
    assert webdav.files() == {f"me/j/{digest}": size for digest, size in report.blobs.items()}
    assert len(report.blobs) == 2
    assert sum(report.blobs.values()) == report.bytes_out
    assert list((tmp_path / "uploads").iterdir()) == []


def test_outputs_that_cannot_be_stored_are_a_reason_of_their_own(tmp_path: Path) -> None:
    with flaky(absent) as server:
        report = stage_outputs(tmp_path, server.url.replace("http", "dav"))
    assert report.reason == reports.OUTPUT_NOT_STORED
    assert report.message.startswith("the outputs could not be stored: dav")
    assert "404 Not Found" in report.message
    assert (report.blobs, report.returned, report.bytes_out) == ({}, [], 0)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_the_reason_of_a_job_that_failed_before_stays(tmp_path: Path) -> None:
    with flaky(absent) as server:
        report = stage_outputs(tmp_path, server.url.replace("http", "dav"), reports.PAYLOAD_FAILED)
    assert report.reason == reports.PAYLOAD_FAILED
    assert "could not be stored: dav" in report.left_out[0]
    assert report.blobs == {}


@both_pythons
@pytest.mark.parametrize("kind", ["s3", "dav", "file"])
def test_a_whole_job(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    python: str,
    kind: str,
) -> None:
    if kind == "file":
        inbox, content = (tmp_path / "inbox").as_uri(), None
    else:
        if kind == "s3":
            for name, value in request.getfixturevalue("s3").environment.items():
                monkeypatch.setenv(name, value)
            url = "s3://bucket/me"
        else:
            url = f"{request.getfixturevalue('webdav').url}/me"
        content = open_transport(url)
        content.check()
        inbox = content.inbox("delivered/j")
    node = Node(tmp_path, python, site={"BEARER_TOKEN": TOKEN})
    blob = node.raw("work/in.bin", os.urandom(2 << 20))
    if content is not None:
        content.upload(node.store / blob.digest, "blobs/x")
        blob = replace(blob, url=content.source("blobs/x"))
    node.change(
        command="echo so it is; cp in.bin out.bin",
        blobs=(blob,),
        outputs=(Output("work/out.bin"),),
        large_file=LARGE,
        deliver=inbox,
        report_to=inbox,
    )
    report = node.run()
    assert report.reason == reports.SUCCESS, report.message
    names = {blob.digest, "report.json", "payload.log"}
    if content is None:
        assert {path.name for path in (tmp_path / "inbox").iterdir()} == names
        return
    assert set(content.listing("delivered/j")) == names
    back = tmp_path / "back"
    content.download("delivered/j/report.json", back)
    assert back.read_bytes() == (node.sandbox / "report.json").read_bytes()
    content.download("delivered/j/payload.log", back)
    assert back.read_text() == "so it is\n"
    assert not (node.sandbox / blob.digest).exists()


@both_pythons
def test_a_report_that_cannot_be_delivered(tmp_path: Path, python: str) -> None:
    node = Node(tmp_path, python)
    (tmp_path / "file").touch()
    node.change(command="true", report_to=(tmp_path / "file").as_uri())
    process = node.start()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == reports.NO_REPORT
    assert output.startswith("The job's report could not be delivered: ")
    assert load_report(node.sandbox / "report.json").reason == reports.SUCCESS


def test_the_report_of_a_job_that_failed_is_delivered_too(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.change(
        command="echo oh no; exit 3",
        deliver=(tmp_path / "inbox").as_uri(),
        report_to=(tmp_path / "reports").as_uri(),
    )
    assert node.run().exit_code == 3
    assert (tmp_path / "reports" / "payload.log").read_text() == "oh no\n"
    delivered = load_report(tmp_path / "reports" / "report.json")
    assert delivered.reason == reports.PAYLOAD_FAILED


def test_the_report_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snakemake_executor_plugin_grid.worker import run
    from snakemake_executor_plugin_grid.worker.transfer import urls

    order: list[str] = []
    monkeypatch.setattr(urls, "put", lambda path, url, name: order.append(name))
    for leaf in ("report.json", "payload.log"):
        (tmp_path / leaf).touch()
    job = Job("j", "", (), (), (), Runtime("inherit"), report_to="dav://host")
    assert run._send_report(job, tmp_path)
    assert order == ["payload.log", "report.json"]
