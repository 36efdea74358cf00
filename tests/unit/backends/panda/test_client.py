"""The client process with the real panda-client, before a server; and with others."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.backends.panda import program
from snakemake_executor_plugin_grid.backends.panda.client import Client
from snakemake_executor_plugin_grid.backends.panda.replies import UnknownTaskError
from snakemake_executor_plugin_grid.model.errors import (
    CredentialsError,
    PermanentError,
    TransientError,
)
from tests.servers.panda.fixture import panda_server
from tests.servers.panda.server import UNSET, PandaServer
from tests.unit.backends.panda.fake_panda import name
from tests.unit.backends.panda.test_task import build

__all__ = ["panda_server"]


@pytest.fixture
def client(
    panda_server: PandaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    for variable in UNSET:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in panda_server.environment().items():
        monkeypatch.setenv(variable, value)
    client = Client(Path(sys.executable), tmp_path / "panda.log")
    yield client
    client.close()
    panda_server.clear_faults()
    panda_server.write_token()


def test_the_start_asks_no_server(client: Client, panda_server: PandaServer) -> None:
    panda_server.forget_requests()
    facts = asyncio.run(client.facts())
    assert facts["cache"] == panda_server.url
    assert facts["cache_server"] is True
    assert facts["version"].startswith("2.")
    assert panda_server.requests().total == 0


def test_without_a_cache_of_its_own_the_server_is_the_cache(
    client: Client, panda_server: PandaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PANDACACHE_URL")
    facts = asyncio.run(client.facts())
    assert (facts["cache"], facts["cache_server"]) == (panda_server.url, False)
    (tmp_path / "sources.x").write_text("x")
    client.call_now("upload", str(tmp_path), "sources.x")


def test_a_task_goes_its_way(client: Client, panda_server: PandaServer, tmp_path: Path) -> None:
    assert client.call_now("hello") == ""
    parameters = build((name(0), name(1))) | {"site": "NOWHERE"}
    title = parameters["taskName"]
    assert client.call_now("tasks_named", title) == []
    answer = client.call_now("submit", parameters)
    assert answer["success"]
    number = int(answer["message"].rpartition("=")[2])
    while not (found := client.call_now("tasks_named", title)):
        pass
    assert [task["jediTaskID"] for task in found] == [number]
    again = client.call_now("submit", parameters)
    assert (again["success"], f"jediTaskID={number}" in again["message"]) == (False, True)
    while client.call_now("status", number) != "pending":
        pass
    (dataset,) = client.call_now("files", number)
    assert [file["lfn"] for file in dataset["files"]] == [f"000000:{name(0)}", f"000001:{name(1)}"]
    assert "NOWHERE" in client.call_now("details", number)["errorDialog"]
    assert client.call_now("job_ids", number) == client.call_now("failed_jobs", number) == []
    client.call_now("kill_task", number)


def test_a_task_that_is_not_there_is_unknown(client: Client) -> None:
    for call in ("status", "files"):
        with pytest.raises(UnknownTaskError):
            client.call_now(call, 987654321)
    assert client.call_now("kill_jobs", [987654321]) in ([True], [False])


def test_a_file_is_uploaded_by_its_name_alone(
    client: Client, panda_server: PandaServer, tmp_path: Path
) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    (folder / "sources.only-once").write_text("content")
    assert client.call_now("upload", str(folder), "sources.only-once") == ""
    assert "cannot overwrite" in client.call_now("upload", str(folder), "sources.only-once")
    (folder / "sources.only-once").unlink()
    folder.rmdir()  # in which the process works no longer
    assert client.call_now("hello") == ""
    with pytest.raises((PermanentError, TransientError), match="a b"):
        client.call_now("upload", str(folder), "sources.only-once")


def test_a_secret_comes_and_goes(client: Client) -> None:
    client.call_now("set_secret", "___file___:x", "eA==")
    client.call_now("set_secret", "___file___:x", None)


def test_a_secret_that_another_run_has_undone_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: dict[str, str] = {}
    undone = [True, True, False]

    def data(name: str, *args: Any) -> str:
        if name == "set_user_secret" and not undone.pop(0):
            secrets[args[0]] = args[1]
        return json.dumps(secrets)

    monkeypatch.setattr(program, "_data", data)
    program.set_secret("x", "y")
    assert (secrets, undone) == ({"x": "y"}, [])
    undone += [True] * 100
    with pytest.raises(program.CallError, match="has lost a secret"):
        program.set_secret("x", "z")


@pytest.mark.parametrize("kind", ["status", "garbage", "closed"])
def test_an_outage_is_told_from_a_refusal(
    client: Client, panda_server: PandaServer, kind: str
) -> None:
    client.call_now("hello")
    panda_server.fault(kind, "task/get_status", times=1)
    with pytest.raises(TransientError):
        client.call_now("status", 987654321)
    with pytest.raises(UnknownTaskError):
        client.call_now("status", 987654321)


def test_a_token_that_the_server_does_not_take(
    client: Client, panda_server: PandaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDA_AUTH_VO", "another")
    with pytest.raises((CredentialsError, PermanentError)):
        client.call_now("tasks_named", "x")


def stub(folder: Path, client: str) -> None:
    """Put another panda-client where Python looks first."""
    package = folder / "pandaclient"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "PandaToolsPkgInfo.py").write_text('release_version = "1.5.9"\n')
    (package / "Client.py").write_text(textwrap.dedent(client))
    (package / "openidc_utils.py").write_text("class OpenIdConnect_Utils: pass\n")


def test_an_old_client_is_refused(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(tmp_path, "class _Curl: pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PermanentError, match=r"panda-client 1\.5\.9 cannot be used; install"):
        client.call_now("hello")


def test_a_client_that_exits_is_an_error_like_any_other(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub(
        tmp_path,
        """
        import sys

        baseURLSSL = baseURLCSRVSSL = "https://server.test/server/panda"


        class _HttpClient:
            def _send(self):
                pass

            def get_id_token(self):
                pass


        def hello():
            print("words for the terminal")
            sys.exit(255)
        """,
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises((TransientError, PermanentError), match="has exited with 255"):
        client.call_now("hello")
    assert asyncio.run(client.facts())["version"] == "1.5.9"
    assert "words for the terminal" in (tmp_path / "panda.log").read_text()


def test_without_panda_client_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pandaclient.py").write_text("raise ModuleNotFoundError(\"No module named 'x'\")\n")
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path))
    client = Client(Path(sys.executable), tmp_path / "panda.log")
    with pytest.raises(PermanentError, match="install panda-client, or see --grid-panda-python"):
        client.call_now("hello")
    client.close()
