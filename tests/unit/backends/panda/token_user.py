"""A user with a token file, and the server that issues the tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
_LOGIN = Path(login.__file__)


@pytest.fixture
def server() -> Iterator[OidcServer]:
    pytest.importorskip("pandaclient")
    server = OidcServer()
    yield server
    server.close()


@dataclass
class User:
    """A user with a home and variables, at a terminal."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.home / ".pathena" / ".token"

    def write_token(self, seconds: float, refresh_token: str = "") -> str:
        """Write a token file; the token is valid for some seconds."""
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

    def answer(self, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command in a process, and answer its questions."""
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

    def run(self, *options: str) -> Result:
        """Run the command in this process; it cannot ask."""
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


_ASK_FOR_TOKENS = """
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


def tokens_of_threads(user: User, number: int = 1) -> list[Any]:
    """Let panda-client look for its token in some threads, as in the client process."""
    variables = {"PANDA_BEHIND_REAL_LB": "1", "PANDA_CONFIG_ROOT": str(user.file.parent)}
    done = subprocess.run(
        [sys.executable, "-c", _ASK_FOR_TOKENS, str(_LOGIN.parent), str(number)],
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
