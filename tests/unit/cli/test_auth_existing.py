"""``snakemake-grid auth`` with credentials that exist, and for systems without tokens."""

from __future__ import annotations

import json
import stat
import time

import pytest

from tests.unit.backends.panda.oidc_server import VO, OidcServer, make_token
from tests.unit.backends.panda.token_user import User, panda_user, server, user

__all__ = ["panda_user", "server", "user"]


@pytest.mark.parametrize(("seconds", "refresh_token"), [(4000, ""), (400, "refresh")])
def test_valid_token_is_kept(
    panda_user: User, server: OidcServer, seconds: float, refresh_token: str
) -> None:
    before = panda_user.write_token(seconds, refresh_token)
    result = panda_user.run()
    assert result.exit_code == 0
    assert result.output.startswith(f"The token of alice in VO {VO} (file {panda_user.file}) is ")
    assert result.output.endswith("Nothing to do (--force gets a new one).\n")
    assert panda_user.file.read_text() == before
    assert server.requests == []


@pytest.mark.parametrize("seconds", [-60, 3000])
def test_token_that_expires_soon_is_replaced(
    panda_user: User, server: OidcServer, seconds: float
) -> None:
    panda_user.write_token(seconds)
    done = panda_user.answer("y\n")
    assert done.returncode == 0, done.stdout
    assert json.loads(panda_user.file.read_text())["id_token"] == server.issued[0]


def test_token_is_refreshed_without_a_question(panda_user: User, server: OidcServer) -> None:
    panda_user.write_token(-60, "mine")
    server.refresh_tokens.add("mine")
    done = panda_user.answer("")
    assert done.returncode == 0, done.stdout
    # The answer had no refresh token, so the old one stays.
    assert json.loads(panda_user.file.read_text()) == {
        "id_token": server.issued[0],
        "refresh_token": "mine",
    }
    assert stat.S_IMODE(panda_user.file.stat().st_mode) == 0o600
    assert server.asked("/device") == []


def test_new_token_is_requested_if_the_refresh_fails(panda_user: User, server: OidcServer) -> None:
    panda_user.write_token(-60, "withdrawn")
    done = panda_user.answer("y\n")
    assert done.returncode == 0, done.stdout
    assert "refreshed: the server does not accept it any more; asking for a new one" in done.stdout
    assert json.loads(panda_user.file.read_text())["refresh_token"] != "withdrawn"


def test_token_in_a_variable_has_precedence(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + 7200)
    result = panda_user.run()
    assert result.exit_code == 0
    assert "(variable PANDA_AUTH_ID_TOKEN)" in result.output
    assert "Nothing to do" in result.output
    done = panda_user.answer("y\n", "--force")
    assert done.returncode == 0, done.stdout
    assert "But PANDA_AUTH_ID_TOKEN is set, and its token is used" in done.stdout
    assert panda_user.variables["PANDA_AUTH_ID_TOKEN"] not in result.output + done.stdout


def test_expired_token_in_a_variable_is_ignored(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() - 60)
    done = panda_user.answer("y\n")
    assert done.returncode == 0, done.stdout
    assert f"(file {panda_user.file})" in done.stdout
    assert "goes before" not in done.stdout
    assert "Nothing to do" in panda_user.run().output


def test_variable_with_a_damaged_token_is_reported_first(
    panda_user: User, server: OidcServer
) -> None:
    panda_user.variables["OIDC_AUTH_TOKEN_FILE"] = str(panda_user.home / "none")
    result = panda_user.run("--force")
    assert result.exit_code == 1
    assert "renew OIDC_AUTH_TOKEN_FILE, or unset it and run" in result.output
    assert server.requests == []


# Other credentials


def test_users_of_dirac(user: User) -> None:
    user.variables.update({"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO})
    result = user.run("--backend", "dirac")
    assert result.exit_code == 0
    assert "For DIRAC, get a proxy by `dirac-proxy-init -g GROUP`" in result.output


def test_shell_without_the_variables_of_a_server(user: User) -> None:
    result = user.run()
    assert result.exit_code == 1
    assert "for PanDA, source the setup script" in result.output
    assert "for DIRAC, get a proxy by `dirac-proxy-init -g GROUP`" in result.output


def test_users_of_panda_with_proxies(user: User) -> None:
    user.variables["X509_USER_PROXY"] = str(user.home / "none")
    result = user.run("--backend", "panda")
    assert result.exit_code == 1
    assert "there is no proxy for PanDA in file" in result.output
    assert "run 'voms-proxy-init -voms VO'" in result.output


def test_valid_proxy_is_shown(user: User) -> None:
    from tests.unit.backends.panda.credential_files import write_proxy

    soon = time.time() + 3700
    user.variables.update(write_proxy(user.home / "proxy", soon, soon, soon), PANDA_AUTH="voms")
    result = user.run()
    assert result.exit_code == 0
    assert f"The proxy of Alice Ü (file {user.home / 'proxy'}) is valid until" in result.output
    assert "For a new one, run 'voms-proxy-init -voms VO'" in result.output


def test_error_names_a_missing_variable(user: User) -> None:
    user.variables["PANDA_AUTH"] = "oidc"
    result = user.run()
    assert result.exit_code == 1
    assert "set PANDA_AUTH_VO" in result.output
