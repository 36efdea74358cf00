"""The client of rucio-clients in the program: one for each thread, and no questions."""

from __future__ import annotations

import builtins
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest

from snakemake_executor_plugin_grid.stores.rucio.program import connection
from snakemake_executor_plugin_grid.stores.rucio.program.errors import CallError


class CannotAuthenticate(Exception):  # noqa: N818 - its name in Rucio
    """Rucio's."""


class BaseClient:
    """Asks the user for a code, as rucio-clients do with OIDC."""

    def token(self) -> bool:
        return self.__get_token_oidc()

    def __get_token_oidc(self) -> bool:
        return bool(input())


class Client(BaseClient):
    account: str | None = None
    made = 0
    asked = 0

    def __init__(self, timeout: int) -> None:
        assert timeout > 0
        Client.made += 1

    def whoami(self) -> dict[str, Any]:
        Client.asked += 1
        return {"account": "ci"}


@pytest.fixture(autouse=True)
def rucio(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand for the library, and forget what the program keeps."""
    for name, members in {
        "rucio": {},
        "rucio.client": {"Client": Client},
        "rucio.client.baseclient": {"BaseClient": BaseClient},
        "rucio.common": {},
        "rucio.common.exception": {"CannotAuthenticate": CannotAuthenticate},
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(builtins, "input", builtins.input)
    monkeypatch.setattr(connection, "_accounts", {})
    Client.made = Client.asked = 0
    monkeypatch.setattr(Client, "account", None)
    connection._import.cache_clear()
    connection.forget()
    yield
    connection._import.cache_clear()
    connection.forget()


def test_each_thread_has_a_client_and_the_account_is_asked_for_once() -> None:
    clients = [connection.client(), connection.client()]
    thread = threading.Thread(target=lambda: clients.append(connection.client()))
    thread.start()
    thread.join()
    assert clients[0] is clients[1]
    assert clients[2] is not clients[0]
    assert [client.account for client in clients] == ["ci"] * 3
    assert (Client.made, Client.asked) == (2, 1)
    connection.forget()
    assert connection.client() is not clients[0]


def test_the_token_of_another_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "account", "other")
    for _ in range(2):
        with pytest.raises(CallError, match="Rucio knows you as ci, not as other"):
            connection.client()


def test_the_user_is_not_asked() -> None:
    client = connection.client()
    with pytest.raises(CannotAuthenticate, match="no valid token"):
        client.token()
    with pytest.raises(CallError, match="ask the user"):
        input("Code: ")
