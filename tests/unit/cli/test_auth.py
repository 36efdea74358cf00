"""``snakemake-grid auth``: a new token by the device flow, with the real panda-client."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.backends.panda.oidc_server import VO, OidcServer
from tests.unit.backends.panda.token_user import (
    COMMAND,
    User,
    panda_user,
    server,
    tokens_of_threads,
    user,
)

__all__ = ["panda_user", "server", "user"]


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_new_user_gets_a_token(panda_user: User, server: OidcServer) -> None:
    server.polls = 1
    done = panda_user.answer("maybe\ny\n")
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
    assert len(server.asked("/token")) == 2  # the first answer asked to wait


def test_token_is_written_where_panda_client_looks(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_CONFIG_ROOT"] = "~/mine"
    done = panda_user.answer("y\n")
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
def test_refusal_is_reported_and_changes_nothing(
    panda_user: User, server: OidcServer, answer: str, outcome: str, reason: str
) -> None:
    before = panda_user.write_token(3600)
    server.outcome = outcome
    done = panda_user.answer(answer, "--force")
    assert done.returncode == 1
    assert f"Error: there is no new token: {reason}" in done.stdout
    assert panda_user.file.read_text() == before
    assert files_of(panda_user.file.parent) == {".token"}


def test_request_that_nobody_confirms(panda_user: User, server: OidcServer) -> None:
    server.polls, server.device_seconds = 1000, 1
    done = panda_user.answer("y\n")
    assert done.returncode == 1
    assert "there is no new token: the request was not confirmed in time." in done.stdout


def test_ctrl_c_at_the_question(panda_user: User, server: OidcServer) -> None:
    """Ctrl-C in a terminal goes to the command and to panda-client."""
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
        except OSError:  # the other end is closed
            return output
        if not part:
            return output
        output += part


def test_unreachable_server(panda_user: User, server: OidcServer) -> None:
    server.close()
    done = panda_user.answer("y\n")
    assert done.returncode == 1
    assert f"there is no new token: {server.url}/auth/{VO}_auth_config.json: " in done.stdout
    assert "refused" in done.stdout
    panda_user.write_token(-60, "mine")
    assert "(<urlopen error [Errno 111] Connection refused>)" in tokens_of_threads(panda_user)[0]


def test_vo_unknown_to_the_server(panda_user: User, server: OidcServer) -> None:
    panda_user.variables["PANDA_AUTH_VO"] = "another"
    done = panda_user.answer("y\n")
    assert done.returncode == 1
    assert f"{server.url}/auth/another_auth_config.json: " in done.stdout
    assert "code=404" in done.stdout
    assert "are PANDA_URL_SSL and PANDA_AUTH_VO right?" in done.stdout


@pytest.mark.parametrize("refresh_token", ["", "mine"])
def test_answer_without_a_required_field(
    panda_user: User, server: OidcServer, refresh_token: str
) -> None:
    server.lacks = "token_endpoint"
    panda_user.write_token(-60, refresh_token)
    done = panda_user.answer("y\n")
    assert done.returncode == 1
    assert "an answer had no 'token_endpoint'" in done.stdout


def test_folder_that_cannot_be_created(panda_user: User) -> None:
    (panda_user.home / ".pathena").write_text("a file")
    done = panda_user.answer("y\n")
    assert done.returncode == 1
    assert "there is no new token: " in done.stdout
    assert f"{panda_user.file.parent}: File exists" in done.stdout


def test_python_without_panda_client(panda_user: User, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    done = panda_user.answer("y\n", "--grid-panda-python", str(python))
    assert done.returncode == 1
    assert "panda-client cannot be imported: No module named 'pandaclient'; name a" in done.stdout
    assert f"--grid-panda-python (now {python})." in done.stdout


def test_python_may_be_named_by_a_variable(panda_user: User) -> None:
    panda_user.variables["SNAKEMAKE_GRID_PANDA_PYTHON"] = "/nowhere/python"
    result = panda_user.run()
    assert result.exit_code == 2
    assert "/nowhere/python is no program that can be run" in result.output
