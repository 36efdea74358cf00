"""The worker's HTTP on a server that misbehaves."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.worker.transfer import connection, urls
from snakemake_executor_plugin_grid.worker.transfer import http as web
from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from snakemake_executor_plugin_grid.worker.transfer.errors import (
    AbsentError,
    PassingError,
    TransferError,
    shown,
)
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.flaky import Handler, Script, flaky
from tests.servers.stores.webdav import WebDavServer

__all__ = ["webdav"]

CONTENT = b"0123456789" * 300_000
SECRET = "very-secret"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer_retry, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(connection, "_CONTINUE_TIMEOUT", 0.3)
    monkeypatch.setenv("BEARER_TOKEN", SECRET)
    monkeypatch.delenv("X509_CERT_DIR", raising=False)
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "none"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def whole(handler: Handler) -> None:
    start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
    if start:
        stated = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.answer(206, CONTENT[start:], Content_Range=stated)
    else:
        handler.answer(200, CONTENT)


def part_of(size: int) -> Script:
    """Send some of it, from where it was asked for, and hang up."""

    def act(handler: Handler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(CONTENT) - start))
        handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.end_headers()
        handler.wfile.write(CONTENT[start : start + size])

    return act


def status(code: int, text: bytes = b"", **headers: str) -> Script:
    def act(handler: Handler) -> None:
        handler.answer(code, text, **headers)

    return act


def hang_up(handler: Handler) -> None:
    handler.connection.close()


def take(handler: Handler) -> None:
    """Behave as a server that takes what comes."""
    if handler.command == "HEAD":
        handler.answer(200, b"", Content_Length=str(taken[-1]))
        return
    taken.append(len(handler.ask_for_body()))
    handler.answer(201)


taken: list[int] = []


@pytest.fixture(autouse=True)
def nothing_taken() -> Iterator[None]:
    taken.clear()
    yield
    taken.clear()


def test_what_had_come_is_not_asked_for_again(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_retry, "PAUSES", (0.01,) * 4)
    with flaky(part_of(1_000_000), hang_up, part_of(500_000), status(503), whole) as server:
        web.get(f"{server.url}/x", target)
    assert target.read_bytes() == CONTENT
    ranges = [headers.get("Range") for _, _, headers in server.seen]
    assert ranges[0] is None
    assert ranges[-1] == "bytes=1500000-"


def test_a_server_that_knows_no_ranges_sends_all_again(target: Path) -> None:
    with flaky(part_of(1_000_000), status(200, CONTENT)) as server:
        web.get(f"{server.url}/x", target)
    assert target.read_bytes() == CONTENT


def test_what_lay_there_before_is_no_part_of_it(target: Path) -> None:
    target.write_bytes(b"old")
    with flaky(whole) as server:
        web.get(f"{server.url}/x", target)
    assert target.read_bytes() == CONTENT
    assert "Range" not in server.seen[0][2]


def test_another_file_than_before_is_begun_anew(target: Path) -> None:
    with flaky(part_of(1_000_000), status(416), status(200, b"new")) as server:
        web.get(f"{server.url}/x", target)
    assert target.read_bytes() == b"new"


def test_retries_end(target: Path) -> None:
    with flaky(status(503)) as server, pytest.raises(PassingError, match="503 Service Unavail"):
        web.get(f"{server.url}/x", target)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (404, AbsentError, "404 Not Found"),
        (403, TransferError, "signed URL has expired"),
        (400, TransferError, "400 Bad Request"),
    ],
)
def test_what_will_not_pass_is_not_repeated(
    target: Path, code: int, kind: type[TransferError], said: str
) -> None:
    with flaky(status(code)) as server, pytest.raises(kind, match=said) as caught:
        web.get(f"{server.url}/x?X-Amz-Signature={SECRET}", target)
    assert len(server.seen) == 1
    assert SECRET not in str(caught.value)
    assert "Authorization" not in server.seen[0][2], "a signed URL needs no token"


def test_a_redirect_takes_no_token_to_another_host(source: Path) -> None:
    with flaky(take) as pool:
        door = status(307, Location=f"{pool.url}/pool/x?once=1")
        with flaky(door, take) as server:
            urls.put(source, server.url.replace("http", "dav"), "x")
    assert server.seen[0][2]["Authorization"] == f"Bearer {SECRET}"
    assert [(method, path) for method, path, _ in pool.seen] == [("PUT", "/pool/x?once=1")]
    assert "Authorization" not in pool.seen[0][2]
    assert taken == [len(CONTENT)], "the body was sent to the door, too"


@pytest.mark.parametrize("target_url", ["http://host:port/x?once=1", "http://[half/x?once=1"])
def test_a_redirect_to_what_is_no_url(target: Path, target_url: str) -> None:
    with (
        flaky(status(302, Location=target_url)) as server,
        pytest.raises(TransferError, match="redirected to an invalid URL") as caught,
    ):
        web.get(f"{server.url}/x", target)
    assert "once" not in str(caught.value)


def test_what_a_redirect_leaves_unquoted_is_quoted(target: Path) -> None:
    with flaky(status(302, Location="/a b%20c?once=d e"), whole) as server:
        web.get(f"{server.url}/x", target)
    assert server.seen[1][1] == "/a%20b%20c?once=d%20e"


def test_redirects_in_a_circle_and_to_elsewhere(target: Path) -> None:
    with (
        flaky(status(302, Location="/x")) as server,
        pytest.raises(TransferError, match="redirected too often"),
    ):
        web.get(f"{server.url}/x", target)
    with (
        flaky(status(302, Location="file:///etc/passwd")) as server,
        pytest.raises(TransferError, match="not HTTP"),
    ):
        web.get(f"{server.url}/x", target)


def test_a_large_body_waits_until_it_is_asked_for(source: Path) -> None:
    with (
        flaky(status(507)) as server,
        pytest.raises(TransferError, match=r"507 Insufficient Storage: .*no space left"),
    ):
        urls.put(source, server.url.replace("http", "dav"), "x")
    assert server.seen[0][2]["Expect"] == "100-continue"


def test_a_server_that_never_asks_gets_it_after_a_while(source: Path) -> None:
    def never_ask(handler: Handler) -> None:
        if handler.command == "PUT":
            taken.append(len(handler.rfile.read(int(handler.headers["Content-Length"]))))
            handler.answer(201)
        else:
            take(handler)

    with flaky(never_ask) as server:
        urls.put(source, server.url.replace("http", "dav"), "x")
    assert taken == [len(CONTENT)]


def test_an_upload_that_breaks_is_repeated(source: Path) -> None:
    with flaky(hang_up, status(503), take) as server:
        urls.put(source, server.url.replace("http", "dav"), "x")
    assert [method for method, _, _ in server.seen] == ["PUT", "PUT", "PUT", "HEAD"]
    assert taken == [len(CONTENT)]


def test_an_upload_that_does_not_arrive_whole(source: Path) -> None:
    def short(handler: Handler) -> None:
        if handler.command == "HEAD":
            handler.answer(200, b"", Content_Length="5")
        else:
            take(handler)

    with flaky(short) as server, pytest.raises(PassingError, match="5 of 3000000 bytes"):
        urls.put(source, server.url.replace("http", "dav"), "x")


def test_an_answer_while_the_body_is_being_sent(source: Path) -> None:
    def refuse(handler: Handler) -> None:
        handler.send_response_only(100)
        handler.end_headers()
        handler.rfile.read(1000)
        handler.answer(413)

    with flaky(refuse) as server, pytest.raises(TransferError):
        urls.put(source, server.url.replace("http", "dav"), "x")


def test_a_server_that_falls_silent(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TIME_LIMIT", 0.2)
    over = threading.Event()

    def silent(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"some")
        over.wait(20)

    begun = time.monotonic()
    with flaky(silent) as server:
        with pytest.raises(PassingError, match="timed out"):
            web.get(f"{server.url}/x", target)
        over.set()
    assert time.monotonic() - begun < 10


def test_a_server_that_speaks_no_http(target: Path) -> None:
    def garble(handler: Handler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    with flaky(garble) as server, pytest.raises(PassingError):
        web.get(f"{server.url}/x", target)


def signed(url: str, **fields: str) -> str:
    form = {"url": url, "fields": {"key": "p/${filename}", "policy": SECRET, **fields}}
    return f"signed:{base64.urlsafe_b64encode(json.dumps(form).encode()).decode()}"


def test_a_form_is_posted(source: Path) -> None:
    bodies: list[bytes] = []

    def keep(handler: Handler) -> None:
        bodies.append(handler.ask_for_body())
        handler.answer(204)

    with flaky(status(503), keep) as server:
        urls.put(source, signed(server.url), "abc")
    _, _, headers = server.seen[-1]
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    parts = bodies[0].split(b"--" + boundary)
    assert [part.partition(b'name="')[2].partition(b'"')[0] for part in parts[1:-1]] == [
        b"key",
        b"policy",
        b"file",
    ]
    assert parts[1].endswith(b"\r\n\r\np/abc\r\n")
    assert parts[3].partition(b"\r\n\r\n")[2] == CONTENT + b"\r\n"
    assert parts[4] == b"--\r\n"


def test_what_s3_says_is_passed_on(source: Path) -> None:
    text = b"<Error><Code>AccessDenied</Code><Message>Policy expired.</Message></Error>"
    source.write_bytes(b"small")

    def refuse(handler: Handler) -> None:
        handler.ask_for_body()
        handler.answer(403, text)

    with flaky(refuse) as server, pytest.raises(TransferError) as caught:
        urls.put(source, signed(server.url), "abc")
    assert "upload of p/abc (AccessDenied: Policy expired.): 403" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", ["signed:", "signed:e30=", "signed:###"])
def test_a_signed_url_that_is_damaged(source: Path, text: str) -> None:
    with pytest.raises(TransferError, match="the signed URL for outputs is damaged"):
        urls.put(source, text, "abc")


def test_who_the_server_is_matters_but_for_public_files(
    webdav: WebDavServer, target: Path, source: Path
) -> None:
    with flaky(whole, certificate=webdav.folder / "server.pem") as server:
        with pytest.raises(TransferError, match="certificate cannot be verified"):
            urls.get(f"{server.url}/x", target)
        with pytest.raises(TransferError, match="certificate cannot be verified"):
            urls.get(f"{server.url}/x?X-Amz-Signature={SECRET}", target, public=True)
        with pytest.raises(TransferError, match="certificate cannot be verified"):
            urls.get(server.url.replace("https", "davs"), target, public=True)
        with pytest.raises(TransferError, match="certificate cannot be verified"):
            urls.put(source, signed(server.url), "x")
        assert server.seen == []
        urls.get(f"{server.url}/x", target, public=True)
    assert target.read_bytes() == CONTENT


def test_a_token_travels_by_tls_or_stays_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    access = web.CREDENTIALS
    assert connection._authorization("dav://example.org/x", access) == {}
    for url in ("davs://example.org/x", "dav://127.0.0.1/x", "dav://[::1]:80/x"):
        assert connection._authorization(url, access) == {"Authorization": f"Bearer {SECRET}"}


def test_folders_by_file_url(tmp_path: Path, source: Path, target: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    urls.put(source, folder.as_uri(), "x")
    assert [path.name for path in folder.iterdir()] == ["x"]
    urls.get((folder / "x").as_uri(), target)
    assert target.read_bytes() == CONTENT
    with pytest.raises(TransferError, match="no file at"):
        urls.get((folder / "y").as_uri(), target)
    (tmp_path / "file").touch()
    with pytest.raises(TransferError, match="file/x: "):
        urls.put(source, (tmp_path / "file").as_uri(), "x")


def test_urls_of_other_kinds(source: Path, target: Path) -> None:
    with pytest.raises(TransferError, match="cannot read gopher"):
        urls.get("gopher://host/x", target)
    with pytest.raises(TransferError, match="cannot write to gopher"):
        urls.put(source, "gopher://host/x", "y")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (f"https://u:{SECRET}@host:1/a/b?x={SECRET}#{SECRET}", "https://host:1/a/b"),
        (f"signed:{SECRET}", "signed:…"),
        ("file:///a/b", "file:///a/b"),
        ("lfn:/vo/a", "lfn:/vo/a"),
        ("", ""),
    ],
)
def test_what_is_shown_of_a_url(url: str, text: str) -> None:
    assert shown(url) == text
