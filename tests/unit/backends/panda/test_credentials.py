"""Tokens in variables and in the token file of panda-client."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.credentials import (
    Credentials,
    client_environment,
    config_root,
    judge,
    preferred_variable,
    read_credentials,
)
from snakemake_executor_plugin_grid.model.errors import CredentialsError, PermanentError

from .credential_files import HOUR, NOW, home, write_token
from .oidc_server import make_token

__all__ = ["home"]

OIDC = {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": "vo.test"}
GOOD, OLD = make_token(NOW + HOUR), make_token(NOW - 60)
# Damaged tokens; no message may show their SECRET.
DAMAGED_TOKENS = [
    "SECRET",
    "a.SECRET",
    "SECRET.SECRET.SECRET",
    f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.SECRET",
    "a.é.SECRET",
    make_token(None, exp="SECRET"),
    make_token(None, exp=1e300),
    json.dumps({"id_token": GOOD, "refresh_token": "SECRET"}),
]


# Which credentials


@pytest.mark.parametrize("method", ["OIDC", "token", "x509", "scitokens"])
def test_unknown_method_is_refused(method: str) -> None:
    with pytest.raises(PermanentError, match=f"PANDA_AUTH={method} is unknown; set it to oidc"):
        read_credentials({**OIDC, "PANDA_AUTH": method}, NOW)


@pytest.mark.parametrize("more", [{}, {"PANDA_AUTH_VO": ""}, {"OIDC_AUTH_VO": ""}])
def test_tokens_need_a_vo(more: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="set PANDA_AUTH_VO"):
        read_credentials({"PANDA_AUTH": "oidc", "PANDA_AUTH_ID_TOKEN": GOOD, **more}, NOW)


def test_vo_may_be_in_the_variable_of_oidc_clients() -> None:
    environment = {"PANDA_AUTH": "oidc", "OIDC_AUTH_VO": "vo2", "PANDA_AUTH_ID_TOKEN": GOOD}
    assert read_credentials(environment, NOW).vo == "vo2"
    assert read_credentials({**environment, "PANDA_AUTH_VO": "vo1"}, NOW).vo == "vo1"
    assert read_credentials({**environment, "PANDA_AUTH_VO": ""}, NOW).vo == "vo2"


# Tokens in variables


def test_token_in_a_variable() -> None:
    found = read_credentials({**OIDC, "PANDA_AUTH_ID_TOKEN": GOOD}, NOW)
    assert found == Credentials(
        kind="token",
        source="variable PANDA_AUTH_ID_TOKEN",
        expires=NOW + HOUR,
        refreshable=False,
        user="alice",
        vo="vo.test",
        renewal="renew PANDA_AUTH_ID_TOKEN, or unset it and run 'snakemake-grid auth'",
    )


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({}, "alice"),
        ({"preferred_username": ""}, "Alice A."),
        ({"preferred_username": None, "name": None}, "1234"),
        ({"preferred_username": None, "name": None, "sub": None}, ""),
    ],
)
def test_user_name_of_a_token(claims: dict[str, str | None], user: str) -> None:
    token = make_token(None, **claims)
    found = read_credentials({**OIDC, "PANDA_AUTH_ID_TOKEN": token}, NOW)
    assert (found.user, found.expires) == (user, None)


def test_variables_are_read_in_the_order_of_panda_client(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(make_token(NOW + HOUR, preferred_username="second") + "\n")
    write_token(home, make_token(NOW + HOUR, preferred_username="fourth"))
    environment = {
        **OIDC,
        "PANDA_AUTH_ID_TOKEN": make_token(NOW + HOUR, preferred_username="first"),
        "OIDC_AUTH_TOKEN_FILE": str(file),
        "OIDC_AUTH_ID_TOKEN": make_token(NOW + HOUR, preferred_username="third"),
    }
    users = []
    for variable in ["PANDA_AUTH_ID_TOKEN", "OIDC_AUTH_TOKEN_FILE", "OIDC_AUTH_ID_TOKEN", ""]:
        found = read_credentials(environment, NOW)
        assert preferred_variable(environment, NOW) == variable
        assert variable in found.source
        users.append(found.user)
        if variable:
            environment[variable] = ""  # the same as unset
    assert users == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("token", DAMAGED_TOKENS)
def test_error_names_the_variable_of_a_damaged_token_without_its_value(
    token: str, home: Path, tmp_path: Path
) -> None:
    write_token(home, GOOD)  # not used: the user has chosen another token
    file = tmp_path / "token"
    file.write_text(token)
    for variable, value in [("PANDA_AUTH_ID_TOKEN", token), ("OIDC_AUTH_TOKEN_FILE", str(file))]:
        environment = {**OIDC, variable: value}
        with pytest.raises(CredentialsError) as caught:
            read_credentials(environment, NOW)
        text = str(caught.value)
        assert f"renew {variable}, or unset it and run 'snakemake-grid auth'" in text
        assert "holds no ID token (a JWT)" in text
        assert "SECRET" not in text
        assert caught.value.__cause__ is None  # a cause could show the token
        assert preferred_variable(environment, NOW) == variable
        assert client_environment(environment, NOW)[variable] == value


def test_variable_names_a_file_that_does_not_exist(tmp_path: Path) -> None:
    environment = {**OIDC, "OIDC_AUTH_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(CredentialsError, match=r"there is no PanDA token in file .*/none \(OIDC_"):
        read_credentials(environment, NOW)
    environment["OIDC_AUTH_TOKEN_FILE"] = str(tmp_path)
    with pytest.raises(CredentialsError, match=r"cannot read the PanDA token .*: Is a directory"):
        read_credentials(environment, NOW)


def test_valid_token_file_is_used_if_the_token_in_a_variable_has_expired(home: Path) -> None:
    environment = {**OIDC, "PANDA_AUTH_ID_TOKEN": OLD}
    with pytest.raises(CredentialsError) as caught:
        read_credentials(environment, NOW)
    assert str(caught.value) == (
        "the token in variable PANDA_AUTH_ID_TOKEN has expired at 2027-01-15 07:59 UTC (it is "
        "2027-01-15 08:00 UTC by the clock here); renew PANDA_AUTH_ID_TOKEN, or unset it and "
        "run 'snakemake-grid auth'."
    )
    path = write_token(home, GOOD)
    assert read_credentials(environment, NOW).source == f"file {path}"
    assert "PANDA_AUTH_ID_TOKEN" not in client_environment(environment, NOW)
    # The token is valid by a clock that is two minutes behind.
    assert read_credentials(environment, NOW - 120).source == "variable PANDA_AUTH_ID_TOKEN"
    assert client_environment(environment, NOW - 120)["PANDA_AUTH_ID_TOKEN"] == OLD


# The token file


def test_token_file(home: Path) -> None:
    path = write_token(home, GOOD)
    found = read_credentials(OIDC, NOW)
    assert (found.source, found.expires, found.refreshable) == (f"file {path}", NOW + HOUR, False)
    write_token(home, GOOD, "refresh")
    assert read_credentials(OIDC, NOW).refreshable


def test_expired_token_file(home: Path) -> None:
    write_token(home, OLD)
    with pytest.raises(CredentialsError, match=r"has expired at .*; run 'snakemake-grid auth'\.$"):
        read_credentials(OIDC, NOW)
    write_token(home, OLD, "refresh")
    assert read_credentials(OIDC, NOW).expires == NOW - 60


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", "null", '{"id_token": 5}'])
def test_damaged_token_file(text: str, home: Path) -> None:
    write_token(home, GOOD).write_text(text)
    with pytest.raises(CredentialsError, match=r"holds no .*; run 'snakemake-grid auth'"):
        read_credentials(OIDC, NOW)


def test_token_file_without_expiry_or_that_is_not_text(home: Path) -> None:
    path = write_token(home, make_token(None))
    assert read_credentials(OIDC, NOW).expires is None
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match=r"cannot read .*: it is no text"):
        read_credentials(OIDC, NOW)


def test_no_token(home: Path) -> None:
    where = home / ".pathena" / ".token"
    with pytest.raises(CredentialsError) as caught:
        read_credentials(OIDC, NOW)
    text = f"there is no PanDA token in file {where}; run 'snakemake-grid auth'."
    assert str(caught.value) == text


def test_folder_of_the_token_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_root({}) == home / ".pathena"
    assert config_root({"PANDA_CONFIG_ROOT": ""}) == home / ".pathena"
    assert config_root({"PANDA_CONFIG_ROOT": "~/x"}) == home / "x"
    assert config_root({"PANDA_CONFIG_ROOT": "here"}) == tmp_path / "here"
    with pytest.raises(PermanentError, match="no home directory; set PANDA_CONFIG_ROOT"):
        config_root({"PANDA_CONFIG_ROOT": "~nobody-of-that-name/x"})


# For the client process


def test_environment_of_the_client(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        **OIDC,
        "PATH": "/bin",
        "EMPTY": "",
        "PANDA_AUTH_ID_TOKEN": "",
        "OIDC_AUTH_TOKEN_FILE": "mine",
        "X509_USER_PROXY": "proxy",
    }
    assert client_environment(environment, NOW) == {
        **OIDC,
        "PATH": "/bin",
        "EMPTY": "",
        "OIDC_AUTH_TOKEN_FILE": str(tmp_path / "mine"),
        "X509_USER_PROXY": str(tmp_path / "proxy"),
        "PANDA_BEHIND_REAL_LB": "1",
        "PANDA_CONFIG_ROOT": str(home / ".pathena"),
    }
    assert environment["X509_USER_PROXY"] == "proxy"


def test_variable_of_an_expired_token_file_is_kept_because_the_file_may_be_renewed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text(OLD)
    variables = {**OIDC, "OIDC_AUTH_TOKEN_FILE": str(file), "OIDC_AUTH_ID_TOKEN": OLD}
    result = client_environment(variables, NOW)
    assert result["OIDC_AUTH_TOKEN_FILE"] == str(file)
    assert "OIDC_AUTH_ID_TOKEN" not in result


def test_warning_before_the_token_expires() -> None:
    token = Credentials("token", "file x", NOW + HOUR, False, "alice", "vo", "run 'it'")
    assert judge(token, HOUR, NOW) == ""
    assert judge(token, 2 * HOUR, NOW) == (
        "the token in file x expires in 1 h; run 'it' before that."
    )
    assert "expires in 0 s" in judge(token, HOUR, NOW + 2 * HOUR)
    refreshable = Credentials("token", "file x", NOW + 1, True, "alice", "vo", "run 'it'")
    assert judge(refreshable, HOUR, NOW) == ""
    unknown = Credentials("token", "file x", None, False, "alice", "vo", "run 'it'")
    assert judge(unknown, HOUR, NOW) == ""
