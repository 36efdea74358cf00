"""Tokens that the client process of a run uses and refreshes."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.backends.panda.oidc_server import OidcServer, make_token

from .token_user import User, panda_user, server, tokens_of_threads, user

__all__ = ["panda_user", "server", "user"]


@pytest.mark.parametrize("seconds", [500, -60])
def test_run_refreshes_a_token_once_before_it_expires(
    panda_user: User, server: OidcServer, seconds: float
) -> None:
    server.rotate = True  # a second refresh with the same token would fail
    old = json.loads(panda_user.write_token(seconds, "mine"))["id_token"]
    server.refresh_tokens.add("mine")
    found = tokens_of_threads(panda_user, 20)
    assert len(server.asked("/token")) == 1
    assert server.issued[0] in found
    assert set(found) <= ({old, server.issued[0]} if seconds > 0 else {server.issued[0]})
    assert json.loads(panda_user.file.read_text())["refresh_token"] == server.issued[1]
    assert server.asked("/device") == []


def test_clocks_that_differ(panda_user: User, server: OidcServer) -> None:
    server.lifetime = -60
    panda_user.write_token(-120, "mine")
    server.refresh_tokens.add("mine")
    [found] = tokens_of_threads(panda_user)
    assert found.endswith("the new one has expired already by the clock here")


def test_run_uses_a_token_until_it_expires(panda_user: User, server: OidcServer) -> None:
    server.down = True
    kept = json.loads(panda_user.write_token(100, "mine"))["id_token"]
    assert tokens_of_threads(panda_user, 3) == [kept] * 3
    assert len(server.asked("/token")) == 1  # the server is not asked again at once


@pytest.mark.parametrize(
    ("refresh_token", "reason"),
    [("", "there is no refresh token"), ("gone", "the server does not accept it any more")],
)
def test_run_asks_no_question(
    panda_user: User, server: OidcServer, refresh_token: str, reason: str
) -> None:
    panda_user.write_token(-60, refresh_token)
    [found] = tokens_of_threads(panda_user)
    assert found.startswith(f"error: no valid token in {panda_user.file}: ")
    assert reason in found
    assert server.asked("/device") == []


def test_run_uses_tokens_in_variables(panda_user: User, tmp_path: Path) -> None:
    file = tmp_path / "token"
    good = make_token(time.time() + 60)
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() - 60)
    panda_user.variables["OIDC_AUTH_TOKEN_FILE"] = str(file)
    file.write_text(good + "\n")  # no header may have a line end
    assert tokens_of_threads(panda_user) == [good]
    file.unlink()
    assert tokens_of_threads(panda_user) == [
        f"error: {file} (OIDC_AUTH_TOKEN_FILE): No such file or directory"
    ]


def test_run_uses_a_token_without_expiry(panda_user: User) -> None:
    panda_user.variables["OIDC_AUTH_ID_TOKEN"] = make_token(None)
    assert tokens_of_threads(panda_user) == [make_token(None)]


def test_two_runs_do_not_refresh_at_the_same_time(panda_user: User, server: OidcServer) -> None:
    server.rotate = True
    panda_user.write_token(-60, "mine")
    server.refresh_tokens.add("mine")
    found: list[Any] = []
    runs = [
        threading.Thread(target=lambda: found.extend(tokens_of_threads(panda_user)))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert found == [server.issued[0]] * 2
