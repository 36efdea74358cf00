"""Servers that are down, credentials that do not work, replicas that are damaged."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    GridError,
    PermanentError,
    TransientError,
)
from snakemake_executor_plugin_grid.stores.rucio.client import RucioClient
from tests.servers.rucio import files
from tests.servers.rucio.server import RucioServer
from tests.servers.rucio.settings import ACCOUNT, PASSWORD, ROOT, WEB

from .conftest import OpenCatalog
from .test_catalog import write

pytestmark = [pytest.mark.rucio, pytest.mark.xdist_group("rucio")]


def test_a_server_that_is_down_is_no_answer(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    catalog, name = open_catalog(rse=ROOT), f"{run}/file"
    made = catalog.put(name, write(tmp_path / "file"))
    rucio_server.stop("rucio")
    try:
        for call in (
            lambda: catalog.facts([name]),
            lambda: catalog.replicas([name]),
            lambda: catalog.listing(run),
            lambda: catalog.get(name, tmp_path / "back"),
            lambda: catalog.put(name, tmp_path / "file"),
            lambda: catalog.remove([name]),
        ):
            with pytest.raises(TransientError):
                call()
    finally:
        rucio_server.start("rucio")
    assert catalog.facts([name]) == {name: made}


@pytest.mark.parametrize(("rse", "component"), [(WEB, "web"), (ROOT, "xrootd")])
def test_a_storage_element_that_is_down_is_waited_for(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rse: str,
    component: str,
) -> None:
    monkeypatch.setenv("XRD_CONNECTIONRETRY", "1")
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "1")
    catalog, name = open_catalog(rse=rse), f"{run}/file"
    path = write(tmp_path / "file")
    catalog.put(name, path)
    rucio_server.stop(component)
    try:
        with pytest.raises(TransientError):
            catalog.get(name, tmp_path / "back")
        with pytest.raises(TransientError):
            catalog.put(f"{run}/other", path)
        assert catalog.facts([f"{run}/other"])[f"{run}/other"] is None
    finally:
        rucio_server.start(component)
    catalog.get(name, tmp_path / "back")
    catalog.put(f"{run}/other", path)


@pytest.mark.parametrize("rse", [WEB, ROOT])
@pytest.mark.parametrize("content", [b"CONTENT", b"con"])
def test_a_damaged_replica_is_an_error(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    rse: str,
    content: bytes,
) -> None:
    catalog, name = open_catalog(rse=rse), f"{run}/file"
    catalog.put(name, write(tmp_path / "file"))
    ((place, _),) = (
        item for item in rucio_server.files(rse).items() if run.rpartition("/")[2] in item[0]
    )
    write(rucio_server.settings.data(rse) / place, content)
    with pytest.raises(PermanentError, match="hecksum"):
        catalog.get(name, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def refused(server: RucioServer, log: Path) -> GridError:
    client = RucioClient(server.settings.python, log)
    try:
        with pytest.raises(GridError) as raised:
            client.call_now("whoami")
    finally:
        client.close()
    return raised.value


def test_a_wrong_password(
    rucio_server: RucioServer, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_client(rucio_server.settings, tmp_path / "home", ACCOUNT, "wrong")
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path / "home"))
    error = refused(rucio_server, tmp_path / "log")
    assert isinstance(error, CredentialsError)
    assert "see username, password and account in rucio.cfg" in str(error)


@pytest.mark.parametrize(
    ("auth", "renewal"),
    [
        ("oidc", "run 'rucio whoami' in a terminal"),
        ("x509_proxy", "run 'voms-proxy-init -voms VO'"),
        ("x509", "see client_cert and client_key"),
    ],
)
def test_no_credentials_are_an_error_and_no_question(
    rucio_server: RucioServer,
    environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
    renewal: str,
) -> None:
    files.write_client(rucio_server.settings, tmp_path / "home", ACCOUNT, PASSWORD)
    config = tmp_path / "home" / "etc" / "rucio.cfg"
    certificate = f"client_cert = {tmp_path}/none\nclient_key = {tmp_path}/none\n"
    config.write_text(config.read_text() + certificate)
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUCIO_AUTH_TYPE", auth)
    monkeypatch.setenv("X509_USER_PROXY", str(tmp_path / "none"))
    begun = time.monotonic()
    error = refused(rucio_server, tmp_path / "log")
    assert isinstance(error, CredentialsError), error
    assert renewal in str(error)
    assert time.monotonic() - begun < 30


def test_an_expired_token_is_renewed(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files.write_client(rucio_server.settings, tmp_path / "home", ACCOUNT, PASSWORD)
    (tmp_path / "home" / "token").write_text("ci-ci-unknown-0123456789")
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path / "home"))
    assert open_catalog().facts([f"{run}/none"]) == {f"{run}/none": None}


def test_the_token_of_another_account(
    open_catalog: OpenCatalog, rucio_server: RucioServer, run: str, tmp_path: Path
) -> None:
    open_catalog().facts([f"{run}/none"])  # there is a token from now on
    client = RucioClient(rucio_server.settings.python, tmp_path / "log", account="nobody")
    try:
        with pytest.raises(PermanentError, match="Rucio knows you as ci, not as nobody"):
            client.call_now("whoami")
    finally:
        client.close()


def test_no_configuration(
    rucio_server: RucioServer, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path))
    error = refused(rucio_server, tmp_path / "log")
    assert isinstance(error, PermanentError)
    assert "point RUCIO_HOME to the folder with etc/rucio.cfg" in str(error)


def test_a_configuration_of_a_server(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files.write_client(rucio_server.settings, tmp_path / "home", ACCOUNT, PASSWORD)
    config = tmp_path / "home" / "etc" / "rucio.cfg"
    config.write_text(config.read_text() + "[database]\ndefault = none\n")
    monkeypatch.setenv("RUCIO_HOME", str(tmp_path / "home"))
    assert open_catalog().facts([f"{run}/none"]) == {f"{run}/none": None}


def test_a_python_without_rucio(environment: None, tmp_path: Path) -> None:
    client = RucioClient(Path(sys.executable), tmp_path / "log")
    try:
        with pytest.raises(PermanentError, match="install rucio-clients there, or name"):
            client.facts_now()
    finally:
        client.close()


def test_storage_that_knows_us_not(
    open_catalog: OpenCatalog,
    rucio_server: RucioServer,
    run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"{run}/file"
    open_catalog(rse=WEB).put(name, write(tmp_path / "file"))
    monkeypatch.setenv("X509_USER_PROXY", "")
    error: GridError | None = None
    try:
        open_catalog(rse=WEB).get(name, tmp_path / "back")
    except GridError as raised:
        error = raised
    assert isinstance(error, CredentialsError), error
    assert "run 'voms-proxy-init -voms VO'" in str(error)
