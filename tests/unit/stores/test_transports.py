"""The transports of remote stores and the worker's functions, on real servers."""

from __future__ import annotations

import base64
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.console.progress import Moving
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    MissingError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores import open_transport
from snakemake_executor_plugin_grid.stores.s3 import S3Transport
from snakemake_executor_plugin_grid.stores.transport import Transport
from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from snakemake_executor_plugin_grid.worker.transfer import urls
from snakemake_executor_plugin_grid.worker.transfer.errors import PassingError, TransferError
from tests.servers.stores.fixtures import s3, webdav
from tests.servers.stores.flaky import flaky
from tests.servers.stores.s3 import S3Server
from tests.servers.stores.webdav import TOKEN, WebDavServer

__all__ = ["s3", "webdav"]

LARGE = 3 << 20


def counted() -> Moving:
    return Moving("data/big", 0, time.monotonic, up=True, store="")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away whatever the one who runs the tests has."""
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "AWS_PROFILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("snakemake_executor_plugin_grid.stores.webdav._PAUSES", (0.01,))
    monkeypatch.setattr(transfer_retry, "PAUSES", (0.01, 0.01))


@pytest.fixture
def aws(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture
def dav(webdav: WebDavServer, monkeypatch: pytest.MonkeyPatch) -> WebDavServer:
    monkeypatch.setenv("BEARER_TOKEN", TOKEN)
    monkeypatch.setenv("X509_CERT_DIR", str(webdav.ca_folder))
    return webdav


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


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int], Path]:
    def make(size: int) -> Path:
        path = tmp_path / f"file of {size}"
        path.write_bytes(bytes(range(256)) * (size // 256) + b"." * (size % 256))
        return path

    return make


Make = Callable[[int], Path]


@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_a_file_goes_there_and_back(
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


def test_what_is_there_is_replaced(transport: Transport, make: Make, tmp_path: Path) -> None:
    for size in (LARGE, 1000):
        transport.upload(make(size), "one")
        assert transport.size("one") == size


def test_what_is_missing_is_said_to_be_missing(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no/such"):
        transport.download("no/such", tmp_path / "back")
    with pytest.raises(TransferError):
        urls.get(transport.source("no/such"), tmp_path / "back")


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


@pytest.mark.parametrize("folder", ["//me", "/a/../me", "/my own/größe", "/50%25"])
def test_folders_that_servers_call_by_another_name(
    dav: WebDavServer, make: Make, folder: str
) -> None:
    transport = open_transport(f"{dav.url}{folder}")
    transport.check()
    transport.upload(make(1), "sub/one")
    assert transport.listing("sub") == ["one"]
    transport.tidy("sub")
    assert transport.size("sub/one") == 1


def test_a_folder_is_not_taken_for_empty_where_paths_are_changed() -> None:
    listing = (
        b'<multistatus xmlns="DAV:"><response><href>/behind/sub/</href></response>'
        b"<response><href>/behind/sub/one</href></response></multistatus>"
    )
    with (
        flaky(lambda handler: handler.answer(207, listing)) as server,
        pytest.raises(PermanentError, match=r"calls this folder '/behind/sub'; name the server"),
    ):
        open_transport(f"{server.url}/before").tidy("sub")
    assert [method for method, _, _ in server.seen] == ["PROPFIND"]


def test_a_server_that_is_down(transport: Transport, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("aws" if transport.url.startswith("s3") else "dav")
    server.stop()
    with pytest.raises(TransientError, match=r"127\.0\.0\.1|bucket"):
        transport.size("one")
    with pytest.raises(PassingError):
        urls.put(Path(__file__), transport.inbox("j"), "one")
    server.start()
    assert transport.size("one") is None


def test_a_full_local_disk_is_no_matter_of_the_server(
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


def test_it_is_told_how_far_a_transfer_is(
    transport: Transport, make: Callable[[int], Path], tmp_path: Path
) -> None:
    path, back = make(20 << 20), tmp_path / "back"
    up, down = counted(), counted()
    transport.upload(path, "a folder/big", up)
    transport.download("a folder/big", back, down)
    assert up.moved() == down.moved() == 20 << 20


def test_no_bytes_are_counted_twice_when_they_are_sent_again(
    dav: WebDavServer, make: Callable[[int], Path]
) -> None:
    up = counted()
    with flaky(lambda h: h.answer(503), lambda h: h.ask_for_body() and h.answer(201)) as server:
        server.script.append(lambda handler: handler.answer(200, Content_Length=str(LARGE)))
        open_transport(server.url).upload(make(LARGE), "big", up)
    assert up.moved() == LARGE


def test_no_secret_is_in_the_urls_of_the_store(transport: Transport) -> None:
    assert "?" not in transport.url
    if transport.secret:
        assert "Signature" in transport.source("x")
    else:
        assert transport.source("x") == f"{transport.url}/x"


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_does_not_exist(make: Make) -> None:
    with pytest.raises(PermanentError, match=r"s3://nobucket/x: NoSuchBucket.*make the bucket"):
        open_transport("s3://nobucket/x").upload(make(1), "one")


def test_no_keys_for_s3(aws: S3Server, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    transport = open_transport("s3://bucket/x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(CredentialsError, match="AWS_ACCESS_KEY_ID"):
        transport.upload(make(1), "one")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "renewed")
    transport.upload(make(1), "one")
    assert aws.keys("bucket") == {"x/one"}


@pytest.mark.parametrize(
    ("code", "status", "kind", "said"),
    [
        ("ExpiredToken", 400, CredentialsError, "AWS_PROFILE"),
        ("InvalidAccessKeyId", 403, CredentialsError, "AWS_PROFILE"),
        ("SignatureDoesNotMatch", 403, CredentialsError, "AWS_PROFILE"),
        ("AccessDenied", 403, PermanentError, "s3:PutObject"),
        ("SlowDown", 503, TransientError, "SlowDown"),
        ("InternalError", 500, TransientError, "InternalError"),
        ("404", 404, MissingError, "404"),
        ("EntityTooLarge", 400, PermanentError, "EntityTooLarge"),
    ],
)
def test_what_the_errors_of_s3_mean(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, kind: type[GridError], said: str
) -> None:
    from botocore.exceptions import ClientError

    class Client:
        def upload_file(self, *_: Any, **__: Any) -> None:
            answer = {
                "Error": {"Code": code, "Message": "so it is"},
                "ResponseMetadata": {"HTTPStatusCode": status},
            }
            raise ClientError(answer, "PutObject")  # type: ignore[arg-type]

    monkeypatch.setattr("snakemake_executor_plugin_grid.stores.s3._new_client", Client)
    with pytest.raises(kind, match=f"s3://bucket: {code}: so it is.*{said}|{said}") as caught:
        S3Transport("s3://bucket").upload(Path(), "x")
    assert type(caught.value) is kind


@pytest.mark.usefixtures("aws")
def test_signed_urls_are_good_for_a_week_and_bound_to_their_place() -> None:
    transport = open_transport("s3://bucket/mine")
    assert "X-Amz-Expires=604800" in transport.source("blobs/aa")
    inbox = transport.inbox("delivered/job-1")
    form = json.loads(base64.urlsafe_b64decode(inbox.removeprefix("signed:")))
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert ["starts-with", "$key", "mine/delivered/job-1/"] in policy["conditions"]
    assert {"bucket": "bucket"} in policy["conditions"]
    end = time.strptime(policy["expiration"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(end) - time.mktime(time.gmtime()) - 7 * 86400) < 100


def test_other_servers_than_amazons_get_the_bucket_in_the_path(
    aws: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.org")
    assert (
        open_transport("s3://bucket/p").source("x").startswith("https://s3.example.org/bucket/p/x?")
    )
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n    addressing_style = virtual\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert (
        open_transport("s3://bucket/p").source("x").startswith("https://bucket.s3.example.org/p/x?")
    )
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert (
        open_transport("s3://bucket/p")
        .source("x")
        .startswith("https://bucket.s3.amazonaws.com/p/x?")
    )


def test_tokens_that_are_no_good(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, make: Make, tmp_path: Path
) -> None:
    transport = open_transport(f"{dav.url}/me")
    monkeypatch.delenv("BEARER_TOKEN")
    with pytest.raises(CredentialsError, match=r"neither a bearer token .*BEARER_TOKEN_FILE.* nor"):
        transport.check()
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() - 5}).encode()).decode()
    token = tmp_path / "token"
    token.write_text(f"x.{claims.rstrip('=')}.y\n")
    monkeypatch.setenv("BEARER_TOKEN_FILE", str(token))
    with pytest.raises(CredentialsError, match="has expired; renew it") as caught:
        transport.check()
    assert claims.rstrip("=") not in str(caught.value)
    token.write_text("wrong")
    with pytest.raises(GridError, match=r"40[13]"):
        transport.check()
    token.write_text(TOKEN)  # renewed while a run goes on
    transport.check()
    transport.upload(make(1), "one")


@pytest.mark.parametrize("text", ["hush\nhush", "hush hush", "hüsh"])
def test_a_token_that_is_none_is_not_shown(dav: WebDavServer, tmp_path: Path, text: str) -> None:
    token = tmp_path / "token"
    token.write_text(text)
    with pytest.raises(CredentialsError, match="only the token") as caught:
        open_transport(f"{dav.url}/me", token).check()
    assert "sh" not in str(caught.value)
    assert dav.requests() == []


def test_a_token_file_that_is_named(dav: WebDavServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "wrong")
    token = dav.folder / "token"
    open_transport(f"{dav.url}/me", token).check()
    with pytest.raises(PermanentError, match=r"token file .*/nowhere cannot be read"):
        open_transport(f"{dav.url}/me", Path("/nowhere")).check()


def test_a_proxy_instead_of_a_token(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    monkeypatch.delenv("BEARER_TOKEN")
    monkeypatch.setenv("X509_USER_PROXY", str(dav.proxy))
    transport = open_transport(f"{dav.tls_url}/me")
    transport.check()
    transport.upload(make(LARGE), "one")
    urls.put(make(LARGE), transport.inbox("j"), "two")
    assert dav.files() == {"me/one": LARGE, "me/j/two": LARGE}


def test_a_server_that_is_another(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("X509_CERT_DIR")
    with pytest.raises(PermanentError, match=r"certificate cannot be verified.*X509_CERT_DIR"):
        open_transport(f"{dav.tls_url}/me").check()
    assert not [line for line in dav.requests() if line.startswith(f"{dav.tls_port} ")]


def test_a_token_is_shown_to_no_other_host(dav: WebDavServer, make: Make) -> None:
    transport = open_transport(f"{dav.door_url}/me")
    transport.check()
    transport.upload(make(LARGE), "one")
    # The pool refuses whoever shows one.
    pool = [line for line in dav.requests() if line.startswith(f"{dav.pool_port} ")]
    assert pool == [f"{dav.pool_port} PUT /me/one 201"]
    assert f"{dav.door_port} PUT /me/one 307" in dav.requests()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:///prefix", "names no host or bucket"),
        ("davs://", "names no host or bucket"),
        ("davs://host:x/path", "Port could not be cast"),
        ("davs://host..name/path", "label empty or too long"),
        ("davs://me:word@host/path", "must hold no user"),
        ("https://host/path?token=word", "must hold no user"),
        ("ftp://host/path", "no store of this kind; give file:"),
    ],
)
def test_urls_that_are_no_good(url: str, said: str) -> None:
    with pytest.raises(PermanentError, match=said) as caught:
        open_transport(url).check()
    assert "word" not in str(caught.value) or "password" in str(caught.value)
    assert "me:word" not in str(caught.value)


def test_boto3_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snakemake_executor_plugin_grid.stores.find_spec", lambda _: None)
    with pytest.raises(PermanentError, match=r"pip install 'snakemake-executor-plugin-grid\[s3\]'"):
        open_transport("s3://bucket")


def test_a_proxy_that_is_renewed_is_read_again(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BEARER_TOKEN")
    proxy = tmp_path / "proxy"
    monkeypatch.setenv("X509_USER_PROXY", str(proxy))
    proxy.write_text("no certificate")
    transport = open_transport(f"{dav.tls_url}/me")
    with pytest.raises(PermanentError, match=f"the proxy {proxy} cannot be used"):
        transport.check()
    proxy.write_bytes(dav.proxy.read_bytes())
    transport.check()
