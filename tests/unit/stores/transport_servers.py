"""S3 and WebDAV servers for the tests of transports."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.console.progress import Moving
from snakemake_executor_plugin_grid.worker.transfer import retry as transfer_retry
from tests.servers.stores.s3 import S3Server
from tests.servers.stores.webdav import TOKEN, WebDavServer

LARGE = 3 << 20


def counted() -> Moving:
    return Moving("data/big", 0, time.monotonic, up=True, store="")


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the credentials of the user who runs the tests."""
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


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int], Path]:
    def make(size: int) -> Path:
        path = tmp_path / f"file of {size}"
        path.write_bytes(bytes(range(256)) * (size // 256) + b"." * (size % 256))
        return path

    return make


Make = Callable[[int], Path]
