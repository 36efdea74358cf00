from __future__ import annotations

import base64
import datetime
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.panda.certificates import owner, read_certificates
from snakemake_executor_plugin_grid.backends.panda.credentials import (
    Credentials,
    client_environment,
    config_root,
    judge,
    preferred_variable,
    read_credentials,
)
from snakemake_executor_plugin_grid.model.errors import CredentialsError, PermanentError

from .oidc_server import make_token

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
HOUR = 3600.0
OIDC = {"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": "vo.test"}
GOOD, OLD = make_token(NOW + HOUR), make_token(NOW - 60)
# Damaged ones, with a word in them that must not be told.
NO_TOKENS = [
    "SECRET",
    "a.SECRET",
    "SECRET.SECRET.SECRET",
    f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.SECRET",
    "a.é.SECRET",
    make_token(None, exp="SECRET"),
    make_token(None, exp=1e300),
    json.dumps({"id_token": GOOD, "refresh_token": "SECRET"}),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("HOME", str(folder))
    (folder / ".pathena").mkdir(parents=True)
    return folder


def keep(home: Path, token: str, refresh_token: str | None = None) -> Path:
    path = home / ".pathena" / ".token"
    fields = {"id_token": token, "refresh_token": refresh_token}
    path.write_text(json.dumps({key: value for key, value in fields.items() if value}))
    return path


# Which credentials


@pytest.mark.parametrize("method", ["OIDC", "token", "x509", "scitokens"])
def test_an_unknown_kind_is_refused(method: str) -> None:
    with pytest.raises(PermanentError, match=f"PANDA_AUTH={method} is unknown; set it to oidc"):
        read_credentials({**OIDC, "PANDA_AUTH": method}, NOW)


@pytest.mark.parametrize("more", [{}, {"PANDA_AUTH_VO": ""}, {"OIDC_AUTH_VO": ""}])
def test_tokens_need_a_vo(more: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="set PANDA_AUTH_VO"):
        read_credentials({"PANDA_AUTH": "oidc", "PANDA_AUTH_ID_TOKEN": GOOD, **more}, NOW)


def test_the_vo_may_have_the_name_of_another_client() -> None:
    environment = {"PANDA_AUTH": "oidc", "OIDC_AUTH_VO": "vo2", "PANDA_AUTH_ID_TOKEN": GOOD}
    assert read_credentials(environment, NOW).vo == "vo2"
    assert read_credentials({**environment, "PANDA_AUTH_VO": "vo1"}, NOW).vo == "vo1"
    assert read_credentials({**environment, "PANDA_AUTH_VO": ""}, NOW).vo == "vo2"


# Tokens in variables


def test_a_token_in_a_variable() -> None:
    found = read_credentials({**OIDC, "PANDA_AUTH_ID_TOKEN": GOOD}, NOW)
    assert found == Credentials(
        kind="token",
        source="variable PANDA_AUTH_ID_TOKEN",
        expires=NOW + HOUR,
        refreshable=False,
        user="alice",
        vo="vo.test",
        renewal="set PANDA_AUTH_ID_TOKEN anew, or unset it and run 'snakemake-grid auth'",
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
def test_the_name_of_the_user(claims: dict[str, str | None], user: str) -> None:
    token = make_token(None, **claims)
    found = read_credentials({**OIDC, "PANDA_AUTH_ID_TOKEN": token}, NOW)
    assert (found.user, found.expires) == (user, None)


def test_variables_in_the_order_of_panda_client(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(make_token(NOW + HOUR, preferred_username="second") + "\n")
    keep(home, make_token(NOW + HOUR, preferred_username="fourth"))
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
            environment[variable] = ""  # which is as good as unset
    assert users == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("token", NO_TOKENS)
def test_what_is_no_token_is_named_and_not_shown(token: str, home: Path, tmp_path: Path) -> None:
    keep(home, GOOD)  # it is not used: the user has meant another one
    file = tmp_path / "token"
    file.write_text(token)
    for variable, value in [("PANDA_AUTH_ID_TOKEN", token), ("OIDC_AUTH_TOKEN_FILE", str(file))]:
        environment = {**OIDC, variable: value}
        with pytest.raises(CredentialsError) as caught:
            read_credentials(environment, NOW)
        text = str(caught.value)
        assert f"{variable} anew, or unset it and run 'snakemake-grid auth'" in text
        assert "holds no ID token (a JWT)" in text
        assert "SECRET" not in text
        assert caught.value.__cause__ is None  # which could show it
        assert preferred_variable(environment, NOW) == variable
        assert client_environment(environment, NOW)[variable] == value


def test_a_file_of_a_variable_that_is_not_there(tmp_path: Path) -> None:
    environment = {**OIDC, "OIDC_AUTH_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(CredentialsError, match=r"there is no PanDA token in file .*/none \(OIDC_"):
        read_credentials(environment, NOW)
    environment["OIDC_AUTH_TOKEN_FILE"] = str(tmp_path)
    with pytest.raises(CredentialsError, match=r"cannot read the PanDA token .*: Is a directory"):
        read_credentials(environment, NOW)


def test_an_expired_variable_gives_way_to_a_good_file(home: Path) -> None:
    environment = {**OIDC, "PANDA_AUTH_ID_TOKEN": OLD}
    with pytest.raises(CredentialsError) as caught:
        read_credentials(environment, NOW)
    assert str(caught.value) == (
        "the token in variable PANDA_AUTH_ID_TOKEN has expired at 2027-01-15 07:59 UTC (it is "
        "2027-01-15 08:00 UTC by the clock here); set PANDA_AUTH_ID_TOKEN anew, or unset it and "
        "run 'snakemake-grid auth'."
    )
    path = keep(home, GOOD)
    assert read_credentials(environment, NOW).source == f"file {path}"
    assert "PANDA_AUTH_ID_TOKEN" not in client_environment(environment, NOW)
    # By a clock that is a bit behind it is good.
    assert read_credentials(environment, NOW - 120).source == "variable PANDA_AUTH_ID_TOKEN"
    assert client_environment(environment, NOW - 120)["PANDA_AUTH_ID_TOKEN"] == OLD


# The token file


def test_a_token_file(home: Path) -> None:
    path = keep(home, GOOD)
    found = read_credentials(OIDC, NOW)
    assert (found.source, found.expires, found.refreshable) == (f"file {path}", NOW + HOUR, False)
    keep(home, GOOD, "refresh")
    assert read_credentials(OIDC, NOW).refreshable


def test_a_token_file_that_has_expired(home: Path) -> None:
    keep(home, OLD)
    with pytest.raises(CredentialsError, match=r"has expired at .*; run 'snakemake-grid auth'\.$"):
        read_credentials(OIDC, NOW)
    keep(home, OLD, "refresh")
    assert read_credentials(OIDC, NOW).expires == NOW - 60


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", "null", '{"id_token": 5}'])
def test_a_damaged_token_file(text: str, home: Path) -> None:
    keep(home, GOOD).write_text(text)
    with pytest.raises(CredentialsError, match=r"holds no .*; run 'snakemake-grid auth'"):
        read_credentials(OIDC, NOW)


def test_a_token_file_without_an_end_or_without_text(home: Path) -> None:
    path = keep(home, make_token(None))
    assert read_credentials(OIDC, NOW).expires is None
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match=r"cannot read .*: it is no text"):
        read_credentials(OIDC, NOW)


def test_no_token_at_all(home: Path) -> None:
    where = home / ".pathena" / ".token"
    with pytest.raises(CredentialsError) as caught:
        read_credentials(OIDC, NOW)
    text = f"there is no PanDA token in file {where}; run 'snakemake-grid auth'."
    assert str(caught.value) == text


def test_the_folder_of_the_token_file(
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


def test_the_environment_of_the_client(
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


def test_a_token_file_of_a_variable_is_kept_as_another_may_be_in_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(OLD)
    variables = {**OIDC, "OIDC_AUTH_TOKEN_FILE": str(file), "OIDC_AUTH_ID_TOKEN": OLD}
    result = client_environment(variables, NOW)
    assert result["OIDC_AUTH_TOKEN_FILE"] == str(file)
    assert "OIDC_AUTH_ID_TOKEN" not in result


# Warnings


def test_a_warning_in_time() -> None:
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


# Proxies


def certificate(names: Sequence[str], expires: float) -> str:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    oid = x509.oid.NameOID
    subject = x509.Name(
        [
            x509.NameAttribute(oid.ORGANIZATION_NAME, "Test"),
            *(x509.NameAttribute(oid.COMMON_NAME, name) for name in names),
        ]
    )
    end = datetime.datetime.fromtimestamp(expires, datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - datetime.timedelta(days=9))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return str(built.public_bytes(serialization.Encoding.PEM).decode())


# Found by its label alone: panda-client gives the file to OpenSSL, which reads the key.
KEY = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
PERSON = ["alice", "12345", "Alice Ü"]


def proxy(path: Path, *expires: float) -> dict[str, str]:
    """Write a proxy, its certificate and that of who made it, which expire then."""
    names = [[*PERSON, "4711"], PERSON, ["The CA"]]
    chain = [certificate(*each) for each in zip(names, expires, strict=True)]
    path.write_text(chain[0] + KEY + "".join(chain[1:]))
    return {"X509_USER_PROXY": str(path)}


@pytest.fixture(params=["library", "program"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One way to read certificates and then the other."""
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
def test_a_proxy(method: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    environment = {**proxy(path, NOW + 9, NOW + 8, NOW + 99), **method, "PANDA_AUTH_VO": "vo"}
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
def test_a_proxy_that_has_expired(tmp_path: Path) -> None:
    environment = proxy(tmp_path / "proxy", NOW - 60, NOW + 9, NOW + 9)
    with pytest.raises(CredentialsError) as caught:
        read_credentials(environment, NOW)
    assert f"the proxy in file {tmp_path / 'proxy'} has expired at 2027-01-15 07:59 UTC" in str(
        caught.value
    )
    assert "run 'voms-proxy-init -voms VO'" in str(caught.value)


@pytest.mark.usefixtures("reader")
def test_a_damaged_proxy(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    environment = proxy(path, NOW + 9, NOW + 9, NOW + 9)
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


def test_a_certificate_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text(certificate(["Bob"], NOW + 9) + KEY)
    environment = {"PANDA_AUTH": "x509_no_grid", "X509_USER_PROXY": str(path)}
    found = read_credentials(environment, NOW)
    assert (found.user, found.expires) == ("Bob", NOW + 9)
    assert "by X509_USER_PROXY" in found.renewal
    assert "voms" not in found.renewal


def test_a_proxy_at_its_usual_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 99_999_999)
    with pytest.raises(CredentialsError, match="in file /tmp/x509up_u99999999;"):
        read_credentials({}, NOW)


def test_nothing_is_known_without_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = proxy(tmp_path / "proxy", NOW + 9, NOW + 9, NOW + 9)
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
def test_proxies_add_names(names: list[str], person: str) -> None:
    assert owner(names) == person
