"""The worker's side of root:// stores: xrdcp, against a real XRootD server."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from snakemake_executor_plugin_grid.worker.transfer import urls, xrootd
from snakemake_executor_plugin_grid.worker.transfer.errors import (
    AbsentError,
    PassingError,
    RefusedError,
    TransferError,
)
from tests.conftest import processes_below
from tests.servers.ports import free_port
from tests.servers.stores.xrootd import XrootdServer, xrootd_server

_ODD = "größe 100% [1].txt"


@pytest.fixture(scope="module")
def server() -> Iterator[XrootdServer]:
    with xrootd_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_retry, "PAUSES", ())
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "3")
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    monkeypatch.setenv("XRD_TIMEOUTRESOLUTION", "1")


def _file(path: Path, content: bytes = b"content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _large(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(400 << 20)
    return path


def _command(folder: Path, name: str, script: str) -> None:
    """Write a command that is found first."""
    path = _file(folder / name, f"#!/bin/sh\n{script}\n".encode())
    path.chmod(0o755)


def test_goes_there_and_back(server: XrootdServer, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    folder = f"{server.url}/delivered/job 1"
    urls.put(_file(tmp_path / "what? a file", content), folder, _ODD)
    assert (server.data("/store/delivered/job 1") / _ODD).read_bytes() == content
    back = _file(tmp_path / "was there? yes", b"something else, and shorter")
    urls.get(f"{folder}/{_ODD}", back)
    assert back.read_bytes() == content


def test_a_file_is_replaced(server: XrootdServer, tmp_path: Path) -> None:
    xrootd.put(_file(tmp_path / "long", b"long content"), f"{server.url}/replaced/", "file")
    time.sleep(1.1)  # the server (5.5.3) keeps a checksum as long as the second of the change
    xrootd.put(_file(tmp_path / "empty", b""), f"{server.url}/replaced", "file")
    assert server.data("/store/replaced/file").read_bytes() == b""


def test_a_file_that_is_missing(server: XrootdServer, tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match=r"//store/none: xrdcp .*\[3011\]"):
        xrootd.get(f"{server.url}/none", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(FileNotFoundError):
        xrootd.put(tmp_path / "none", server.url, "file")


def test_a_place_that_cannot_be_written(server: XrootdServer) -> None:
    _file(server.data("/store/some"))
    with pytest.raises(OSError, match="some") as raised:
        xrootd.get(f"{server.url}/some", Path("/proc/none"))
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize("path", ["/readonly", "/elsewhere"])
def test_where_nothing_may_be_written(server: XrootdServer, tmp_path: Path, path: str) -> None:
    with pytest.raises(TransferError, match=r"\[30(05|10)\]") as raised:
        xrootd.put(_file(tmp_path / "file"), server.at(path), "file")
    assert not isinstance(raised.value, PassingError)
    assert not server.data(f"{path}/file").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    began = time.monotonic()
    url = f"root://127.0.0.1:{free_port()}//store"
    with pytest.raises(PassingError, match="Connection error"):
        xrootd.get(f"{url}/file", tmp_path / "back")
    with pytest.raises(PassingError, match="Connection error"):
        xrootd.put(_file(tmp_path / "file"), url, "file")
    assert time.monotonic() - began < 20


def test_a_server_that_does_not_answer_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRD_REQUESTTIMEOUT", "3")
    monkeypatch.setenv("XRD_STREAMTIMEOUT", "3")
    with xrootd_server() as server, server.frozen():
        began = time.monotonic()
        with pytest.raises(PassingError, match=r"Socket timeout|Operation expired"):
            xrootd.put(_file(tmp_path / "file"), server.url, "file")
        assert time.monotonic() - began < 20


def _stop_when_begun(server: XrootdServer, there: Path) -> threading.Thread:
    """Stop a server as soon as a file has bytes, and start it again a little later."""

    def stop() -> None:
        while not (there.exists() and there.stat().st_size):
            time.sleep(0.001)
        server.stop()
        time.sleep(0.5)
        server.start()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    return thread


def test_the_server_stops_in_the_middle_and_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, back = _large(tmp_path / "large"), tmp_path / "back"
    with xrootd_server() as server:
        there = server.data("/store/large")
        thread = _stop_when_begun(server, there)
        with pytest.raises(PassingError):
            xrootd.put(source, server.url, "large")
        assert there.stat().st_size < source.stat().st_size
        thread.join()
        monkeypatch.setattr(transfer_retry, "PAUSES", (1.0, 1.0, 1.0))
        thread = _stop_when_begun(server, there)  # in the second try, which a third one follows
        xrootd.put(source, server.url, "large")
        thread.join()
        assert there.stat().st_size == source.stat().st_size
        thread = _stop_when_begun(server, back)
        xrootd.get(f"{server.url}/large", back)
        thread.join()
        assert back.stat().st_size == source.stat().st_size


def test_without_checksums_the_size_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with xrootd_server(checksums=False) as server:
        xrootd.put(_file(tmp_path / "file"), f"{server.url}/a folder", _ODD)
        there = server.data("/store/a folder") / _ODD
        assert there.read_bytes() == b"content"
        url = f"{server.url}/a folder/{_ODD}"
        there.write_bytes(b"cont")
        with pytest.raises(PassingError, match="4 of 7 bytes"):
            xrootd._check_size(url, 7)
        there.unlink()
        with pytest.raises(AbsentError):
            xrootd._check_size(url, 7)


def test_a_file_that_has_changed_on_its_way_is_sent_again(
    server: XrootdServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the server keeps of a file that is replaced within the same second is such a checksum.
    def send(count: int) -> None:
        for number in range(count):
            content = str(number).encode()
            xrootd.put(_file(tmp_path / "file", content), f"{server.url}/again", "file")

    with pytest.raises(PassingError, match="CheckSum error"):
        send(100)
    monkeypatch.setattr(transfer_retry, "PAUSES", (1.2, 1.2, 1.2))
    send(2)
    assert server.data("/store/again/file").read_bytes() == b"1"


def test_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with xrootd_server(sss=True) as server:
        for _ in range(2):
            with pytest.raises(RefusedError, match=r"Auth failed.*no proxy or token"):
                xrootd.put(_file(tmp_path / "file"), server.url, "file")
        monkeypatch.setenv("XrdSecSSSKT", str(server.keytab))
        xrootd.put(_file(tmp_path / "file"), server.url, "file")
        xrootd.get(f"{server.url}/file", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == b"content"


def test_there_is_no_xrdcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TransferError, match=r"need xrdcp.*xrootd-client"):
        xrootd.get("root://host//store/file", tmp_path / "back")
    with pytest.raises(TransferError, match="need xrdcp"):
        xrootd.put(_file(tmp_path / "file"), "root://host//store", "file")


def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _command(tmp_path / "bin", "xrdcp", f"sh -c 'while :; do sleep 1; done' {tmp_path} & wait")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(xrootd, "_TIME_LIMIT", 0.5)
    with pytest.raises(PassingError, match=r"longer than 0.5 s"):
        xrootd.get("root://host//store/file", tmp_path / "back")
    _gone(tmp_path)


def test_the_command_ends_with_the_worker(tmp_path: Path) -> None:
    _command(tmp_path / "bin", "xrdcp", f"exec tail -f {_file(tmp_path / 'file')}")
    program = (
        "from pathlib import Path; "
        "from snakemake_executor_plugin_grid.worker.transfer import xrootd; "
        "xrootd.get('root://host//store/file', Path('back'))"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    )
    try:
        give_up = time.monotonic() + 20
        while not processes_below(tmp_path) and time.monotonic() < give_up:
            time.sleep(0.05)
        assert processes_below(tmp_path)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    _gone(tmp_path)


def _gone(folder: Path) -> None:
    give_up = time.monotonic() + 10
    while processes_below(folder) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not processes_below(folder)


def test_a_command_that_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path / "bin", "xrdcp", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(TransferError, match="left no file"):
        xrootd.get("root://host//store/file", tmp_path / "back")


def test_no_secret_is_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(tmp_path / "bin", "xrdcp", f'echo "$@" >{tmp_path}/said; cp "$0" {tmp_path}/back')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("BEARER_TOKEN", "the-secret-token")
    xrootd.get("root://host//store/file", tmp_path / "back")
    assert (tmp_path / "said").read_text() == f"-N -f root://host//store/file {tmp_path}/back\n"


def test_the_users_own_limits_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRD_REQUESTTIMEOUT", "77")
    monkeypatch.delenv("XRD_STREAMERRORWINDOW", raising=False)
    variables = xrootd.environment()
    assert variables["XRD_REQUESTTIMEOUT"] == "77"
    assert variables["XRD_STREAMERRORWINDOW"] == "0"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Run: [ERROR] Server responded with an error: [3024] busy  (source)", PassingError),
        ("Run: [ERROR] Server responded with an error: [3030] no token", RefusedError),
        ("Run: [ERROR] Server responded with an error: [3009] no space left", TransferError),
        ("Run: [FATAL] TLS error", TransferError),
        ("", TransferError),
    ],
)
def test_what_words_mean(words: str, kind: type[TransferError]) -> None:
    with pytest.raises(TransferError) as raised:
        xrootd.fail(words, "the file")
    assert type(raised.value) is kind
    assert str(raised.value).startswith("the file: ")


def test_words_of_the_local_disk() -> None:
    with pytest.raises(OSError, match="the file") as raised:
        xrootd.fail("Run: [ERROR] Local error: no space left on device:  (destination)", "the file")
    assert raised.value.errno == errno.ENOSPC
