"""The submit host's side of root:// stores, against a real XRootD server."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.progress import Moving
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores import xrootd
from snakemake_executor_plugin_grid.stores.xrootd import XRootDTransport
from tests.servers.ports import free_port
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

_ODD = "a folder/größe 100% [1].txt"


@pytest.fixture(scope="module")
def shared() -> Iterator[XrootdServer]:
    with xrootd_server() as server:
        yield server


@pytest.fixture
def server(shared: XrootdServer) -> XrootdServer:
    return shared


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("XRootD") is None:
        reason = "there is no XRootD library: pip install '.[xrootd]'"
        if os.environ.get("GRID_TEST_STORES_REQUIRED"):
            pytest.fail(f"GRID_TEST_STORES_REQUIRED is set, but {reason}")
        pytest.skip(reason)
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "3")
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    monkeypatch.setenv("XRD_TIMEOUTRESOLUTION", "1")


@pytest.fixture
def transport(
    server: XrootdServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[XRootDTransport]:
    yield from _transport(f"{server.url}/{request.node.name}", tmp_path)


def _transport(url: str, folder: Path, token: Path | None = None) -> Iterator[XRootDTransport]:
    transport = XRootDTransport(url, token, folder / "xrootd.log")
    yield transport
    transport._client.close()


def _file(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_progress_of_a_transfer_is_reported(
    transport: XRootDTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, told, size = _file(tmp_path / "source", bytes(64 << 20)), list[int](), 64 << 20
    up = Moving("data/big", size, time.monotonic, up=True, store="")
    down = Moving("data/big", size, time.monotonic, up=False, store="")
    monkeypatch.setattr(up, "reach", told.append)
    transport.upload(source, "big", up)
    assert told
    assert told == sorted(told)
    assert 0 < told[0] <= size
    transport.download("big", tmp_path / "back", down)
    assert down.moved() == size


def test_a_file_is_uploaded_and_downloaded(transport: XRootDTransport, tmp_path: Path) -> None:
    transport.check()
    source, back = _file(tmp_path / "source", os.urandom(100_000)), tmp_path / "back"
    transport.upload(source, "blobs/ab/file")
    assert transport.size("blobs/ab/file") == 100_000
    transport.download("blobs/ab/file", back)
    assert back.read_bytes() == source.read_bytes()
    transport.check()  # the folder exists now


def test_a_name_with_spaces_and_non_ascii_letters(
    transport: XRootDTransport, server: XrootdServer, tmp_path: Path
) -> None:
    transport.upload(_file(tmp_path / "what? a name", b"four"), _ODD)
    there = server.data(transport.url.partition(str(server.port))[2]) / _ODD
    assert there.read_bytes() == b"four"
    assert transport.size(_ODD) == 4
    assert transport.listing("a folder") == ["größe 100% [1].txt"]
    back = tmp_path / "back? again"
    transport.download(_ODD, back)
    assert back.read_bytes() == b"four"
    assert transport.source(_ODD) == f"{transport.url}/{_ODD}"
    assert transport.remove([_ODD]) == {}
    assert not there.exists()


def test_a_file_is_replaced(transport: XRootDTransport, tmp_path: Path) -> None:
    transport.upload(_file(tmp_path / "long", b"long content"), "file")
    transport.upload(_file(tmp_path / "empty", b""), "file")
    assert transport.size("file") == 0


def test_missing_files_and_folders(transport: XRootDTransport, tmp_path: Path) -> None:
    assert transport.size("none/file") is None
    assert transport.listing("none") == []
    assert transport.remove(["none/file", "none"]) == {}
    transport.tidy("none")
    with pytest.raises(MissingError, match=r"none/file: .*\[3011\]"):
        transport.download("none/file", tmp_path / "back")


def test_a_folder_is_tidied_when_it_is_empty(transport: XRootDTransport, tmp_path: Path) -> None:
    transport.upload(_file(tmp_path / "file"), "folder/sub/file")
    assert transport.size("folder/sub") is None
    transport.tidy("folder/sub")
    assert transport.listing("folder/sub") == ["file"]
    transport.remove(["folder/sub/file"])
    transport.tidy("folder/sub")
    assert transport.listing("folder") == []


def test_files_that_cannot_be_removed_are_reported(
    transport: XRootDTransport, server: XrootdServer, tmp_path: Path
) -> None:
    transport.upload(_file(tmp_path / "file"), "file")
    _file(server.data("/readonly/kept"))
    for readonly in _transport(server.at("/readonly"), tmp_path):
        failed = readonly.remove(["kept"])
        assert list(failed) == ["kept"]
        assert "read/only" in failed["kept"]
    names = [f"none{number}" for number in range(120)]  # more than go into one call
    assert transport.remove(["file", *names]) == {}
    assert transport.size("file") is None


def test_upload_of_a_missing_file(transport: XRootDTransport, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        transport.upload(tmp_path / "none", "file")


def test_download_to_a_path_that_cannot_be_written(
    transport: XRootDTransport, tmp_path: Path
) -> None:
    transport.upload(_file(tmp_path / "file"), "file")
    with pytest.raises(OSError, match="file") as raised:
        transport.download("file", Path("/proc/none"))
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize("path", ["/readonly", "/elsewhere"])
def test_read_only_and_unexported_paths(server: XrootdServer, tmp_path: Path, path: str) -> None:
    for transport in _transport(server.at(path), tmp_path):
        with pytest.raises(PermanentError, match=r"\[30(05|10)\]"):
            transport.upload(_file(tmp_path / "file"), "sub/file")
        assert not server.data(f"{path}/sub").exists()


def test_a_folder_of_another_user(server: XrootdServer, tmp_path: Path) -> None:
    server.data("/store/locked").mkdir()
    server.data("/store/locked").chmod(0o555)
    if os.getuid() == 0:
        os.chown(server.data("/store/locked"), 0, 0)
    for transport in _transport(f"{server.url}/locked", tmp_path):
        with pytest.raises(PermanentError, match=r"permission denied.*another folder"):
            transport.upload(_file(tmp_path / "file"), "file")


def test_a_file_in_place_of_the_folder(server: XrootdServer, tmp_path: Path) -> None:
    _file(server.data("/store/file"))
    for transport in _transport(f"{server.url}/file", tmp_path):
        with pytest.raises(PermanentError, match="is a file"):
            transport.check()


def test_a_path_that_is_not_absolute() -> None:
    with pytest.raises(PermanentError, match=r"two slashes.*root://host//store"):
        XRootDTransport("root://host/store")


def test_the_library_is_not_asked_while_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(xrootd.Client, "move_now", lambda *args, **_: asked.append(args))
    port = free_port()
    for transport in _transport(f"root://127.0.0.1:{port}//store", tmp_path):
        with pytest.raises(TransientError, match=f":{port}: connection refused"):
            transport.check()
        with pytest.raises(TransientError, match=f":{port}: connection refused"):
            transport.remove(["one", "two"])
    for transport in _transport("root://no-such-host.invalid//store", tmp_path):
        with pytest.raises(TransientError, match=r"no-such-host\.invalid:1094: "):
            transport.check()
    assert asked == []


def test_a_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with xrootd_server() as server:
        for transport in _transport(server.url, tmp_path):
            transport.check()
            server.stop()
            with pytest.raises(TransientError):
                transport.size("file")
            with pytest.raises(TransientError, match="connection refused"):
                transport.size("file")
            server.start()
            assert transport.size("file") is None


def test_the_wait_for_a_server_that_does_not_answer_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRD_REQUESTTIMEOUT", "3")
    monkeypatch.setenv("XRD_STREAMTIMEOUT", "3")
    with xrootd_server() as server:
        for transport in _transport(server.url, tmp_path):
            transport.check()
            began = time.monotonic()
            with server.frozen(), pytest.raises(TransientError):
                transport.upload(_file(tmp_path / "file"), "file")
            assert time.monotonic() - began < 20
            # It now executes the earlier requests, and may still have the file open: [3003].
            for _ in range(5):
                with contextlib.suppress(TransientError):
                    transport.upload(_file(tmp_path / "file"), "file")
                    break
                time.sleep(1)
            assert transport.size("file") == 7


def test_a_library_that_hangs_is_killed(
    transport: XRootDTransport, server: XrootdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.check()
    monkeypatch.setattr(xrootd, "CALL_TIMEOUT", 0.5)
    with server.frozen(), pytest.raises(TransientError, match="has not answered"):
        transport._call("file", "stat", transport._server, "/store", limit=0.5)
    assert transport.size("file") is None


@pytest.mark.slow
def test_the_server_stops_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    size = 400 << 20
    source = tmp_path / "large"
    with source.open("wb") as file:
        file.truncate(size)
    with xrootd_server() as server:
        there = server.data("/store/large")

        def stop() -> None:
            while not (there.exists() and there.stat().st_size):
                time.sleep(0.001)
            server.stop()

        for transport in _transport(server.url, tmp_path):
            thread = threading.Thread(target=stop, daemon=True)
            thread.start()
            with pytest.raises(TransientError):
                transport.upload(source, "large")
            thread.join(10)
            assert there.stat().st_size < size
            server.start()
            assert transport.size("large") != size
            transport.upload(source, "large")
            assert transport.size("large") == size


def test_parallel_transfers(transport: XRootDTransport, tmp_path: Path) -> None:
    source, began = _file(tmp_path / "file"), time.monotonic()
    names = [f"blobs/{number % 5}/{number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: transport.upload(source, name), names))
        assert set(pool.map(transport.size, names)) == {7}
    assert time.monotonic() - began < 20


def test_missing_credentials_can_be_added_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with xrootd_server(sss=True) as server:
        for transport in _transport(server.url, tmp_path):
            with pytest.raises(CredentialsError, match=r"Auth failed.*renew"):
                transport.check()
            monkeypatch.setenv("XrdSecSSSKT", str(server.keytab))
            transport.check()
            transport.upload(_file(tmp_path / "file"), "file")
            assert transport.size("file") == 7


def test_an_expired_token_differs_from_a_missing_permission(
    server: XrootdServer, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    for seconds, kind in ((-10, CredentialsError), (600, PermanentError)):
        claims = json.dumps({"exp": time.time() + seconds}).encode()
        token.write_text(f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.s")
        for transport in _transport(server.at("/elsewhere"), tmp_path, token):
            with pytest.raises(kind, match=r"\[3010\]") as raised:
                transport.size("file")
            assert token.read_text() not in str(raised.value)


def test_the_library_reads_the_token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "another")
    client = xrootd.Client(tmp_path / "log", tmp_path / "token")
    assert client.environment()["BEARER_TOKEN_FILE"] == str(tmp_path / "token")
    assert "BEARER_TOKEN" not in client.environment()


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path / "XRootD" / "__init__.py", b"raise ImportError('no XRootD')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for transport in _transport("root://127.0.0.1//store", tmp_path):
        with pytest.raises(PermanentError, match=r"pip install .*\[xrootd\]"):
            transport.check()


def test_urls_for_workers() -> None:
    transport = XRootDTransport("root://host:1095//store/me/")
    assert transport.url == "root://host:1095//store/me"
    assert transport.source("blobs/ab") == "root://host:1095//store/me/blobs/ab"
    assert transport.inbox("delivered/job") == "root://host:1095//store/me/delivered/job"
    assert not transport.secret
