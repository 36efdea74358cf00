"""Proxies and certificates as credentials for PanDA."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.certificates import owner, read_certificates
from snakemake_executor_plugin_grid.backends.panda.credentials import Credentials, read_credentials
from snakemake_executor_plugin_grid.model.errors import CredentialsError

from .credential_files import KEY, NOW, certificate, home, write_proxy

__all__ = ["home"]


@pytest.fixture(params=["library", "program"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read certificates by the library, then by the program."""
    if request.param == "program":
        monkeypatch.setattr(
            "snakemake_executor_plugin_grid.backends.panda.certificates._by_library",
            _not_installed,
        )
    return str(request.param)


def _not_installed(_: str) -> None:
    raise ImportError("no cryptography")


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("method", [{}, {"PANDA_AUTH": ""}, {"PANDA_AUTH": "voms"}])
def test_proxy(method: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    environment = {**write_proxy(path, NOW + 9, NOW + 8, NOW + 99), **method, "PANDA_AUTH_VO": "vo"}
    assert read_credentials(environment, NOW) == Credentials(
        kind="proxy",
        source=f"file {path}",
        expires=NOW + 8,
        refreshable=False,
        user="Alice Ü",
        vo="vo",
        renewal="run 'voms-proxy-init -voms vo', or set PANDA_AUTH=oidc to use tokens",
    )


@pytest.mark.usefixtures("reader")
def test_expired_proxy(tmp_path: Path) -> None:
    environment = write_proxy(tmp_path / "proxy", NOW - 60, NOW + 9, NOW + 9)
    with pytest.raises(CredentialsError) as caught:
        read_credentials(environment, NOW)
    assert f"the proxy in file {tmp_path / 'proxy'} has expired at 2027-01-15 07:59 UTC" in str(
        caught.value
    )
    assert "run 'voms-proxy-init -voms VO'" in str(caught.value)


@pytest.mark.usefixtures("reader")
def test_damaged_proxy(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    environment = write_proxy(path, NOW + 9, NOW + 9, NOW + 9)
    whole = path.read_text()
    lines = whole.splitlines()
    path.write_text("\n".join([*lines[:2], *lines[3:]]))
    with pytest.raises(CredentialsError, match=r"a certificate in file .* is damaged; run 'voms-"):
        read_credentials(environment, NOW)
    for text in ["", KEY, whole.replace(KEY, "")]:
        path.write_text(text)
        with pytest.raises(CredentialsError, match="holds no certificate with its key"):
            read_credentials(environment, NOW)
    path.unlink()
    with pytest.raises(CredentialsError, match=f"there is no proxy for PanDA in file {path}; run"):
        read_credentials(environment, NOW)


def test_certificate_instead_of_a_proxy(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text(certificate(["Bob"], NOW + 9) + KEY)
    environment = {"PANDA_AUTH": "x509_no_grid", "X509_USER_PROXY": str(path)}
    found = read_credentials(environment, NOW)
    assert (found.user, found.expires) == ("Bob", NOW + 9)
    assert "by X509_USER_PROXY" in found.renewal
    assert "voms" not in found.renewal


def test_proxy_at_the_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 99_999_999)
    with pytest.raises(CredentialsError, match="in file /tmp/x509up_u99999999;"):
        read_credentials({}, NOW)


def test_user_and_expiry_are_unknown_without_a_certificate_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = write_proxy(tmp_path / "proxy", NOW + 9, NOW + 9, NOW + 9)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_certificates((tmp_path / "proxy").read_text()) is None
    found = read_credentials(environment, NOW)
    assert (found.user, found.expires) == ("", None)


@pytest.mark.parametrize(
    ("names", "person"),
    [
        (["Alice", "12345"], "Alice"),
        (["Alice", "proxy", "limited proxy"], "Alice"),
        (["12345"], "12345"),
        ([], ""),
    ],
)
def test_owner_ignores_the_names_that_proxies_add(names: list[str], person: str) -> None:
    assert owner(names) == person
