"""``snakemake-grid auth`` with the real panda-client, against a server of tokens."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from snakemake_executor_plugin_grid.backends.panda import login
from snakemake_executor_plugin_grid.cli import main
from tests.unit.backends.panda.oidc_server import VO, OidcServer, make_token

COMMAND = [sys.executable, "-c", "from snakemake_executor_plugin_grid.cli import main; main()"]
LOGIN = Path(login.__file__)


@pytest.fixture
def server() -> Iterator[OidcServer]:
    pytest.importorskip("pandaclient")
    server = OidcServer()
    yield server
    server.close()


@dataclass
class User:
    """At a terminal, with a home and variables."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.home / ".pathena" / ".token"

    def keep(self, seconds: float, refresh_token: str = "") -> str:
        """Have a token that is valid for so long, in the file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fields = {"id_token": make_token(time.time() + seconds)}
        if refresh_token:
            fields["refresh_token"] = refresh_token
        self.file.write_text(json.dumps(fields))
        return self.file.read_text()

    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PANDA", "OIDC_", "X509_", "SNAKEMAKE_GRID_"))
        }
        return {**kept, "HOME": str(self.home), **self.variables}

    def types(self, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a process of its own, and answer its questions."""
        done = subprocess.run(
            [*COMMAND, "auth", *options],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(),
            cwd=self.home,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout
        return done

    def runs(self, *options: str) -> Result:
        """Run the command in this process: it is to ask nothing."""
        known = dict.fromkeys(os.environ)
        result = CliRunner().invoke(
            main, ["auth", *options], env={**known, **self.environment()}, prog_name="prog"
        )
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result


@pytest.fixture
def user(tmp_path: Path) -> User:
    home = tmp_path / "home"
    home.mkdir()
    return User(home)


@pytest.fixture
def panda_user(user: User, server: OidcServer) -> User:
    user.variables.update(
        PANDA_AUTH="oidc", PANDA_AUTH_VO=VO, PANDA_URL_SSL=f"{server.url}/server/panda"
    )
    return user


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# The device flow


def test_a_new_user_gets_a_token(panda_user: User, server: OidcServer) -> None:
    server.polls = 1
    done = panda_user.types("maybe\ny\n")
    assert done.returncode == 0, done.stdout
    assert f"{server.url}/verify?user_code=ABCD" in done.stdout
    assert re.search(
        rf"Done\. The token of alice in VO {VO} \(file {panda_user.file}\) is valid until "
        r"\d{4}-\d\d-\d\d \d\d:\d\d UTC \((2 h|1 h 59 min)\).* refreshed",
        done.stdout,
    )
    assert json.loads(panda_user.file.read_text())["id_token"] in server.issued
    assert not any(token in done.stdout for token in server.issued)
    assert stat.S_IMODE(panda_user.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(panda_user.file.parent.stat().st_mode) == 0o700
    assert files_of(panda_user.file.parent) == {".token", ".token.lock"}
    assert files_of(panda_user.home) == {".pathena"}
    assert len(server.asked("/token")) == 2  # it was asked to wait once


def test_the_token_goes_where_panda_client_looks(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_CONFIG_ROOT"] = "~/mine"
    done = panda_user.types("y\n")
    assert done.returncode == 0, done.stdout
    assert json.loads((panda_user.home / "mine" / ".token").read_text())["id_token"]
    assert not panda_user.file.exists()


@pytest.mark.parametrize(
    ("answer", "outcome", "reason"),
    [
        ("n\n", "", "you have answered n"),
        ("y\n", "access_denied", "the request was refused on the page"),
        ("y\n", "expired_token", "the request was not confirmed in time"),
        ("y\n", "slow_down", "its server was asked too often; try again"),
        ("y\n", "server_error", "Failed to get ID token: code=400"),
        ("", "", "there is no terminal to answer at"),
    ],
)
def test_a_refusal_is_told_and_changes_nothing(
    panda_user: User, server: OidcServer, answer: str, outcome: str, reason: str
) -> None:
    before = panda_user.keep(3600)
    server.outcome = outcome
    done = panda_user.types(answer, "--force")
    assert done.returncode == 1
    assert f"Error: there is no new token: {reason}" in done.stdout
    assert panda_user.file.read_text() == before
    assert files_of(panda_user.file.parent) == {".token"}


def test_a_request_that_nobody_confirms(panda_user: User, server: OidcServer) -> None:
    server.polls, server.device_seconds = 1000, 1
    done = panda_user.types("y\n")
    assert done.returncode == 1
    assert "there is no new token: the request was not confirmed in time." in done.stdout


def test_ctrl_c_at_the_question(panda_user: User, server: OidcServer) -> None:
    """With a terminal: Ctrl-C goes to the command and to panda-client alike."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "auth"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=panda_user.environment(),
        start_new_session=True,
        close_fds=True,
    )
    os.close(slave)
    output = b""
    try:
        while b"[y/n]" not in output:
            output += os.read(master, 1024)
        os.killpg(process.pid, signal.SIGINT)
        output += _rest(master)
        assert process.wait(20) == 1
    finally:
        process.kill()
        process.wait()
        os.close(master)
    text = output.decode()
    assert "Error: interrupted: there is no new token." in text
    assert "Traceback" not in text
    assert files_of(panda_user.file.parent) == set()


def _rest(master: int) -> bytes:
    output = b""
    while True:
        try:
            part = os.read(master, 1024)
        except OSError:  # nobody has the other end any more
            return output
        if not part:
            return output
        output += part


def test_no_server(panda_user: User, server: OidcServer) -> None:
    server.close()
    done = panda_user.types("y\n")
    assert done.returncode == 1
    assert f"there is no new token: {server.url}/auth/{VO}_auth_config.json: " in done.stdout
    assert "refused" in done.stdout
    panda_user.keep(-60, "mine")
    assert "(<urlopen error [Errno 111] Connection refused>)" in calls(panda_user)[0]


def test_a_vo_that_the_server_does_not_know(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_VO"] = "another"
    done = panda_user.types("y\n")
    assert done.returncode == 1
    assert f"{server.url}/auth/another_auth_config.json: " in done.stdout
    assert "code=404" in done.stdout
    assert "are PANDA_URL_SSL and PANDA_AUTH_VO right?" in done.stdout


@pytest.mark.parametrize("refresh_token", ["", "mine"])
def test_an_answer_that_lacks_something(
    panda_user: User, server: OidcServer, refresh_token: str
) -> None:
    server.lacks = "token_endpoint"
    panda_user.keep(-60, refresh_token)
    done = panda_user.types("y\n")
    assert done.returncode == 1
    assert "an answer had no 'token_endpoint'" in done.stdout


def test_a_folder_that_cannot_be_made(panda_user: User) -> None:
    (panda_user.home / ".pathena").write_text("a file")
    done = panda_user.types("y\n")
    assert done.returncode == 1
    assert "there is no new token: " in done.stdout
    assert f"{panda_user.file.parent}: File exists" in done.stdout


def test_a_python_without_panda_client(panda_user: User, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    done = panda_user.types("y\n", "--grid-panda-python", str(python))
    assert done.returncode == 1
    assert "panda-client cannot be imported: No module named 'pandaclient'; name a" in done.stdout
    assert f"--grid-panda-python (now {python})." in done.stdout


def test_the_python_may_be_in_a_variable(panda_user: User) -> None:
    panda_user.variables["SNAKEMAKE_GRID_PANDA_PYTHON"] = "/nowhere/python"
    result = panda_user.runs()
    assert result.exit_code == 2
    assert "/nowhere/python is no program that can be run" in result.output


# What is there already


@pytest.mark.parametrize(("seconds", "refresh_token"), [(4000, ""), (400, "refresh")])
def test_a_good_token_is_kept(
    panda_user: User, server: OidcServer, seconds: float, refresh_token: str
) -> None:
    before = panda_user.keep(seconds, refresh_token)
    result = panda_user.runs()
    assert result.exit_code == 0
    assert result.output.startswith(f"The token of alice in VO {VO} (file {panda_user.file}) is ")
    assert result.output.endswith("Nothing to do (--force gets a new one).\n")
    assert panda_user.file.read_text() == before
    assert server.requests == []


@pytest.mark.parametrize("seconds", [-60, 3000])
def test_a_token_that_ends_soon_is_replaced(
    panda_user: User, server: OidcServer, seconds: float
) -> None:
    panda_user.keep(seconds)
    done = panda_user.types("y\n")
    assert done.returncode == 0, done.stdout
    assert json.loads(panda_user.file.read_text())["id_token"] == server.issued[0]


def test_a_token_is_refreshed_without_a_question(panda_user: User, server: OidcServer) -> None:
    panda_user.keep(-60, "mine")
    server.refresh_tokens.add("mine")
    done = panda_user.types("")
    assert done.returncode == 0, done.stdout
    # The answer had no refresh token, so the old one goes on.
    assert json.loads(panda_user.file.read_text()) == {
        "id_token": server.issued[0],
        "refresh_token": "mine",
    }
    assert stat.S_IMODE(panda_user.file.stat().st_mode) == 0o600
    assert server.asked("/device") == []


def test_without_a_refresh_it_asks(panda_user: User, server: OidcServer) -> None:
    panda_user.keep(-60, "withdrawn")
    done = panda_user.types("y\n")
    assert done.returncode == 0, done.stdout
    assert "refreshed: the server does not accept it any more; asking for a new one" in done.stdout
    assert json.loads(panda_user.file.read_text())["refresh_token"] != "withdrawn"


def test_a_token_in_a_variable_goes_first(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() + 7200)
    result = panda_user.runs()
    assert result.exit_code == 0
    assert "(variable PANDA_AUTH_ID_TOKEN)" in result.output
    assert "Nothing to do" in result.output
    done = panda_user.types("y\n", "--force")
    assert done.returncode == 0, done.stdout
    assert "But PANDA_AUTH_ID_TOKEN is set, and its token is used" in done.stdout
    assert panda_user.variables["PANDA_AUTH_ID_TOKEN"] not in result.output + done.stdout


def test_an_expired_variable_is_passed_over(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() - 60)
    done = panda_user.types("y\n")
    assert done.returncode == 0, done.stdout
    assert f"(file {panda_user.file})" in done.stdout
    assert "goes before" not in done.stdout
    assert "Nothing to do" in panda_user.runs().output


def test_a_damaged_variable_comes_first(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["OIDC_AUTH_TOKEN_FILE"] = str(panda_user.home / "none")
    result = panda_user.runs("--force")
    assert result.exit_code == 1
    assert "set OIDC_AUTH_TOKEN_FILE anew, or unset it and run" in result.output
    assert server.requests == []


# Other credentials


def test_users_of_dirac(user: User) -> None:
    user.variables.update({"PANDA_AUTH": "oidc", "PANDA_AUTH_VO": VO})
    result = user.runs("--backend", "dirac")
    assert result.exit_code == 0
    assert "For DIRAC, get a proxy by `dirac-proxy-init -g GROUP`" in result.output


def test_a_shell_that_knows_of_no_server(user: User) -> None:
    result = user.runs()
    assert result.exit_code == 1
    assert "for PanDA, source the setup script" in result.output
    assert "for DIRAC, get a proxy by `dirac-proxy-init -g GROUP`" in result.output


def test_users_of_panda_with_proxies(user: User) -> None:
    user.variables["X509_USER_PROXY"] = str(user.home / "none")
    result = user.runs("--backend", "panda")
    assert result.exit_code == 1
    assert "there is no proxy for PanDA in file" in result.output
    assert "run 'voms-proxy-init -voms VO'" in result.output


def test_a_good_proxy_is_told_of(user: User) -> None:
    from tests.unit.backends.panda.test_credentials import proxy

    soon = time.time() + 3700
    user.variables.update(proxy(user.home / "proxy", soon, soon, soon), PANDA_AUTH="voms")
    result = user.runs()
    assert result.exit_code == 0
    assert f"The proxy of Alice Ü (file {user.home / 'proxy'}) is valid until" in result.output
    assert "For a new one, run 'voms-proxy-init -voms VO'" in result.output


def test_what_is_wrong_with_the_variables_is_told(user: User) -> None:
    user.variables["PANDA_AUTH"] = "oidc"
    result = user.runs()
    assert result.exit_code == 1
    assert "set PANDA_AUTH_VO" in result.output


# In the process of a run


CALLS = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
import login
login.take_care()
from pandaclient import Client
found = []
def ask():
    client = Client._HttpClient()
    try:
        client.get_id_token()
        found.append(client.id_token)
    except login.LoginError as error:
        found.append("error: " + str(error))
threads = [threading.Thread(target=ask) for _ in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(found))
"""


def calls(user: User, number: int = 1) -> list[Any]:
    """Let panda-client look for its token in so many threads, as the client process does."""
    variables = {"PANDA_BEHIND_REAL_LB": "1", "PANDA_CONFIG_ROOT": str(user.file.parent)}
    done = subprocess.run(
        [sys.executable, "-c", CALLS, str(LOGIN.parent), str(number)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**user.environment(), **variables},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == number
    return list(found)


@pytest.mark.parametrize("seconds", [500, -60])
def test_a_run_refreshes_once_and_before_the_end(
    panda_user: User, server: OidcServer, seconds: float
) -> None:
    server.rotate = True  # a second refresh with the same would fail
    old = json.loads(panda_user.keep(seconds, "mine"))["id_token"]
    server.refresh_tokens.add("mine")
    found = calls(panda_user, 20)
    assert len(server.asked("/token")) == 1
    assert server.issued[0] in found
    assert set(found) <= ({old, server.issued[0]} if seconds > 0 else {server.issued[0]})
    assert json.loads(panda_user.file.read_text())["refresh_token"] == server.issued[1]
    assert server.asked("/device") == []


def test_clocks_that_do_not_agree(panda_user: User, server: OidcServer) -> None:
    server.lifetime = -60
    panda_user.keep(-120, "mine")
    server.refresh_tokens.add("mine")
    [found] = calls(panda_user)
    assert found.endswith("the new one has expired already by the clock here")


def test_a_run_uses_a_token_until_its_end(panda_user: User, server: OidcServer) -> None:
    server.down = True
    kept = json.loads(panda_user.keep(100, "mine"))["id_token"]
    assert calls(panda_user, 3) == [kept] * 3
    assert len(server.asked("/token")) == 1  # the server is not asked again at once


@pytest.mark.parametrize(
    ("refresh_token", "reason"),
    [("", "there is no refresh token"), ("gone", "the server does not accept it any more")],
)
def test_a_run_never_asks(
    panda_user: User, server: OidcServer, refresh_token: str, reason: str
) -> None:
    panda_user.keep(-60, refresh_token)
    [found] = calls(panda_user)
    assert found.startswith(f"error: no valid token in {panda_user.file}: ")
    assert reason in found
    assert server.asked("/device") == []


def test_a_run_takes_tokens_of_variables(panda_user: User, tmp_path: Path) -> None:
    file = tmp_path / "token"
    good = make_token(time.time() + 60)
    panda_user.variables["PANDA_AUTH_ID_TOKEN"] = make_token(time.time() - 60)
    panda_user.variables["OIDC_AUTH_TOKEN_FILE"] = str(file)
    file.write_text(good + "\n")  # no header may have a line end
    assert calls(panda_user) == [good]
    file.unlink()
    assert calls(panda_user) == [f"error: {file} (OIDC_AUTH_TOKEN_FILE): No such file or directory"]


def test_a_run_takes_a_token_without_an_end(panda_user: User) -> None:
    panda_user.variables["OIDC_AUTH_ID_TOKEN"] = make_token(None)
    assert calls(panda_user) == [make_token(None)]


def test_two_runs_do_not_refresh_at_once(panda_user: User, server: OidcServer) -> None:
    server.rotate = True
    panda_user.keep(-60, "mine")
    server.refresh_tokens.add("mine")
    found: list[Any] = []
    runs = [threading.Thread(target=lambda: found.extend(calls(panda_user))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert found == [server.issued[0]] * 2
