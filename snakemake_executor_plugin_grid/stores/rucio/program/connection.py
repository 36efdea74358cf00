"""The client of rucio-clients: one for each thread, and it never asks the user."""

from __future__ import annotations

import builtins
import functools
import os
import threading
from collections.abc import Sequence
from typing import Any

from .errors import CallError

_REQUEST_LIMIT = 100
_here = threading.local()
_import_lock = threading.Lock()
_account_lock = threading.Lock()
_accounts: dict[str | None, str] = {}


def imported() -> Any:
    """Import rucio-clients; they must never ask the user, as stdin is the pipe of this program."""
    with _import_lock:
        return _import()


@functools.cache
def _import() -> Any:
    from rucio.client import Client
    from rucio.client.baseclient import BaseClient
    from rucio.common.exception import CannotAuthenticate

    def no_token(_: object) -> bool:
        raise CannotAuthenticate("there is no valid token for OIDC")

    def no_answer(*_: object) -> str:
        raise CallError("rucio-clients ask the user a question")

    # It waits minutes for a browser, or asks for a code.
    setattr(BaseClient, "_BaseClient__get_token_oidc", no_token)  # noqa: B010 - private
    builtins.input = no_answer
    return Client


def client() -> Any:
    """Return the client of this thread: its session is not for several threads."""
    if not hasattr(_here, "client"):
        made = imported()(timeout=_REQUEST_LIMIT)
        made.account = _account(made)
        _here.client = made
    return _here.client


def _account(client: Any) -> str:
    """Return the account of the user, which the server knows.

    A token in a file that rucio.cfg names may be of another account than the one that is asked for.
    """
    wanted = client.account
    with _account_lock:
        if wanted not in _accounts:
            found = _accounts[wanted] = str(client.whoami()["account"])
            if wanted is not None and found != wanted:
                del _accounts[wanted]
                raise CallError(
                    f"Rucio knows you as {found}, not as {wanted}: see account and "
                    "auth_token_file_path in rucio.cfg, and RUCIO_ACCOUNT"
                )
        return _accounts[wanted]


def dids(files: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Return files as rucio-clients want them."""
    return [{"scope": scope, "name": name} for scope, name in files]


def forget() -> None:
    """Let the next call of this thread have a new client."""
    _here.__dict__.pop("client", None)


def auth_type() -> str:
    """Return how the client authenticates."""
    if method := os.environ.get("RUCIO_AUTH_TYPE"):
        return method
    try:
        from rucio.common.config import config_get

        return str(config_get("client", "auth_type", raise_exception=False, default=""))
    except Exception:
        return ""
