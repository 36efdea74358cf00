"""WebDAV: tokens, proxies, redirects and names of folders."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import CredentialsError, GridError, PermanentError
from snakemake_executor_plugin_grid.stores import open_transport
from snakemake_executor_plugin_grid.worker.transfer import urls
from tests.servers.stores.fixtures import webdav
from tests.servers.stores.flaky import flaky
from tests.servers.stores.webdav import TOKEN, WebDavServer

from .transport_servers import LARGE, Make, counted, dav, make, no_credentials

__all__ = ["dav", "make", "no_credentials", "webdav"]


@pytest.mark.parametrize("folder", ["//me", "/a/../me", "/my own/größe", "/50%25"])
def test_folder_names_that_servers_normalize_or_quote(
    dav: WebDavServer, make: Make, folder: str
) -> None:
    transport = open_transport(f"{dav.url}{folder}")
    transport.check()
    transport.upload(make(1), "sub/one")
    assert transport.listing("sub") == ["one"]
    transport.tidy("sub")
    assert transport.size("sub/one") == 1


def test_folder_is_not_removed_if_a_proxy_changes_paths() -> None:
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


def test_bytes_that_are_sent_again_are_counted_once(dav: WebDavServer, make: Make) -> None:
    up = counted()
    with flaky(lambda h: h.answer(503), lambda h: h.ask_for_body() and h.answer(201)) as server:
        server.script.append(lambda handler: handler.answer(200, Content_Length=str(LARGE)))
        open_transport(server.url).upload(make(LARGE), "big", up)
    assert up.moved() == LARGE


def test_invalid_tokens(
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
    token.write_text(TOKEN)  # renewed during a run
    transport.check()
    transport.upload(make(1), "one")


@pytest.mark.parametrize("text", ["hush\nhush", "hush hush", "hüsh"])
def test_malformed_token_is_not_shown(dav: WebDavServer, tmp_path: Path, text: str) -> None:
    token = tmp_path / "token"
    token.write_text(text)
    with pytest.raises(CredentialsError, match="only the token") as caught:
        open_transport(f"{dav.url}/me", token).check()
    assert "sh" not in str(caught.value)
    assert dav.requests() == []


def test_token_file_option(dav: WebDavServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "wrong")
    token = dav.folder / "token"
    open_transport(f"{dav.url}/me", token).check()
    with pytest.raises(PermanentError, match=r"token file .*/nowhere cannot be read"):
        open_transport(f"{dav.url}/me", Path("/nowhere")).check()


def test_proxy_instead_of_a_token(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    monkeypatch.delenv("BEARER_TOKEN")
    monkeypatch.setenv("X509_USER_PROXY", str(dav.proxy))
    transport = open_transport(f"{dav.tls_url}/me")
    transport.check()
    transport.upload(make(LARGE), "one")
    urls.put(make(LARGE), transport.inbox("j"), "two")
    assert dav.files() == {"me/one": LARGE, "me/j/two": LARGE}


def test_certificate_of_an_unknown_authority(
    dav: WebDavServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("X509_CERT_DIR")
    with pytest.raises(PermanentError, match=r"certificate cannot be verified.*X509_CERT_DIR"):
        open_transport(f"{dav.tls_url}/me").check()
    assert not [line for line in dav.requests() if line.startswith(f"{dav.tls_port} ")]


def test_token_is_not_sent_to_another_host(dav: WebDavServer, make: Make) -> None:
    transport = open_transport(f"{dav.door_url}/me")
    transport.check()
    transport.upload(make(LARGE), "one")
    # The pool refuses requests with a token.
    pool = [line for line in dav.requests() if line.startswith(f"{dav.pool_port} ")]
    assert pool == [f"{dav.pool_port} PUT /me/one 201"]
    assert f"{dav.door_port} PUT /me/one 307" in dav.requests()


def test_renewed_proxy_is_read_again(
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
