"""All transports of remote stores and the worker's functions, on real servers."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    EndingError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores import open_transport
from snakemake_executor_plugin_grid.stores.transport import Transport
from snakemake_executor_plugin_grid.worker.interruption import interrupt_by
from snakemake_executor_plugin_grid.worker.transfer import urls
from snakemake_executor_plugin_grid.worker.transfer.errors import PassingError, TransferError
from tests.servers.stores.fixtures import s3, webdav

from .transport_servers import LARGE, Make, aws, counted, dav, make, no_credentials

__all__ = ["aws", "dav", "make", "no_credentials", "s3", "webdav"]


@pytest.fixture(params=["s3", "s3 without a prefix", "dav", "davs", "door"])
def transport(request: pytest.FixtureRequest) -> Transport:
    if request.param.startswith("s3"):
        request.getfixturevalue("aws")
        url = "s3://bucket/some/prefix/" if request.param == "s3" else "s3://bucket"
    else:
        server = request.getfixturevalue("dav")
        url = {"dav": server.url, "davs": server.tls_url, "door": server.door_url}[request.param]
        url += "/some/folder/"
    transport = open_transport(url)
    transport.check()
    return transport


@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_file_is_uploaded_and_downloaded(
    transport: Transport, make: Make, tmp_path: Path, size: int
) -> None:
    source, back = make(size), tmp_path / "back"
    assert transport.size("a b/c+d") is None
    transport.upload(source, "a b/c+d")
    assert transport.size("a b/c+d") == size
    transport.download("a b/c+d", back)
    assert back.read_bytes() == source.read_bytes()
    urls.get(transport.source("a b/c+d"), back, public=True)
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_workers_deliver_into_a_folder(
    transport: Transport, make: Make, tmp_path: Path, size: int
) -> None:
    inbox = transport.inbox("delivered/job-1")
    for _ in range(2):  # the second time it replaces the first
        urls.put(make(size), inbox, "report.json")
    assert transport.size("delivered/job-1/report.json") == size
    assert transport.listing("delivered/job-1") == ["report.json"]


def test_upload_replaces_an_existing_file(transport: Transport, make: Make, tmp_path: Path) -> None:
    for size in (LARGE, 1000):
        transport.upload(make(size), "one")
        assert transport.size("one") == size


def test_download_of_a_missing_file(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no/such"):
        transport.download("no/such", tmp_path / "back")
    with pytest.raises(TransferError):
        urls.get(transport.source("no/such"), tmp_path / "back")


def test_download_stops_where_a_file_is_larger_than_it_may_be(
    transport: Transport, make: Make, tmp_path: Path
) -> None:
    transport.upload(make(LARGE), "bomb")
    back = tmp_path / "back"
    transport.download("bomb", back, most=LARGE)
    assert back.stat().st_size == LARGE
    back.unlink()
    with pytest.raises(PermanentError, match=r"server sends|more than the 1,000"):
        transport.download("bomb", back, most=1000)
    assert not back.exists() or back.stat().st_size <= 1000


def test_listing_and_removing(transport: Transport, make: Make) -> None:
    names = ["one/a", "one/b c", "one/deep/d", "two/a"]
    for name in names:
        transport.upload(make(1), name)
    assert sorted(transport.listing("one")) == ["a", "b c", "deep"]
    assert transport.listing("none") == []
    transport.tidy("one")
    assert transport.size("one/a") == 1, "a folder was removed that is not empty"
    assert transport.remove([*names, "none/x"]) == {}
    assert [transport.size(name) for name in names] == [None] * 4
    for folder in ("one/deep", "one", "two", "none"):
        transport.tidy(folder)
    assert transport.listing("") == [] or "one" not in transport.listing("one")


def test_moving(transport: Transport, make: Make, tmp_path: Path) -> None:
    transport.upload(make(LARGE), "one/a b")
    if transport.url.startswith("s3"):
        assert not transport.move("one/a b", "new/deep/c+d")
        return
    for _ in range(2):  # the second time it replaces the first
        transport.upload(make(1000), "one/a b")
        assert transport.move("one/a b", "new/deep/c+d")
        assert transport.size("one/a b") is None
        assert transport.size("new/deep/c+d") == 1000
    with pytest.raises(MissingError):
        transport.move("one/a b", "new/deep/c+d")
    transport.remove(["new/deep/c+d"])


def test_unreachable_server(transport: Transport, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("aws" if transport.url.startswith("s3") else "dav")
    server.stop()
    with pytest.raises(TransientError, match=r"127\.0\.0\.1|bucket"):
        transport.size("one")
    with pytest.raises(PassingError):
        urls.put(Path(__file__), transport.inbox("j"), "one")
    server.start()
    assert transport.size("one") is None


def test_full_local_disk_is_not_an_error_of_the_server(
    transport: Transport, make: Make, tmp_path: Path
) -> None:
    transport.upload(make(LARGE), "one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            transport.download("one", tmp_path / "back")
        with pytest.raises(OSError, match="File too large"):
            urls.get(transport.source("one"), tmp_path / "back")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("way", ["upload", "download"])
def test_a_transfer_ends_between_two_blocks(
    transport: Transport, make: Make, tmp_path: Path, way: str
) -> None:
    path, back = make(40 << 20), tmp_path / "back"
    transport.upload(path, "big")
    call = {
        "upload": lambda: transport.upload(path, "big"),
        "download": lambda: transport.download("big", back),
    }[way]
    blocks: list[None] = []

    def look() -> None:
        blocks.append(None)
        if len(blocks) > 2:
            raise EndingError("the run is ending")

    interrupt_by(look)
    try:
        with pytest.raises(EndingError):
            call()
    finally:
        interrupt_by()
    assert len(blocks) < 40


def test_progress_of_a_transfer(transport: Transport, make: Make, tmp_path: Path) -> None:
    path, back = make(20 << 20), tmp_path / "back"
    up, down = counted(), counted()
    transport.upload(path, "a folder/big", up)
    transport.download("a folder/big", back, down)
    assert up.moved() == down.moved() == 20 << 20


def test_urls_of_the_store_hold_no_secret(transport: Transport) -> None:
    assert "?" not in transport.url
    if transport.secret:
        assert "Signature" in transport.source("x")
    else:
        assert transport.source("x") == f"{transport.url}/x"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:///prefix", "names no host or bucket"),
        ("davs://", "names no host or bucket"),
        ("davs://host:x/path", "Port could not be cast"),
        ("davs://host..name/path", "label empty"),
        ("davs://me:word@host/path", "must hold no user"),
        ("https://host/path?token=word", "must hold no user"),
        ("ftp://host/path", "no store of this kind; give file:"),
    ],
)
def test_invalid_urls(url: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said) as caught:
        open_transport(url).check()
    assert "word" not in str(caught.value) or "password" in str(caught.value)
    assert "me:word" not in str(caught.value)
