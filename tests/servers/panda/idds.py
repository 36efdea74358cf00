"""The iDDS relay of the test server: starts ``idds_service.py`` and sends it commands.

`IddsRelay` is what ``Settings.idds`` of a server may name: `RELAY`.

Environment variables:
    GRID_TEST_IDDS_PYTHON: A Python with idds-atlas, idds-client and panda-client; the one that
        runs the tests, if not set and it has them.
    GRID_TEST_IDDS_REQUIRED: If not empty, tests fail instead of being skipped without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .settings import VO

if TYPE_CHECKING:
    from .world import RelayedCommand, World

RELAY = f"{__name__}:IddsRelay"
ACCOUNT = "iDDS robot"
_SERVICE = Path(__file__).with_name("idds_service.py")
_START_LIMIT = 60.0
_COMMAND_LIMIT = 60.0


class IddsRelay:
    """The relay of a server, whose iDDS has an account in the production role.

    iDDS is started with the first command.
    """

    def __init__(self, world: World) -> None:
        url, production = world.settings.url, f"{VO}/production"
        token = world.issuer.issue(ACCOUNT, 1e6, groups=(VO, production))
        panda = {
            **dict.fromkeys(
                ("PANDA_URL", "PANDA_URL_SSL", "PANDACACHE_URL"), f"{url}/server/panda"
            ),
            "PANDA_BEHIND_REAL_LB": "1",
            "PANDA_AUTH": "oidc",
            "PANDA_AUTH_VO": f"{VO}:production",
            "PANDA_AUTH_ID_TOKEN": token,
        }
        self._service = IddsService(world.settings.folder / "idds", panda)

    async def __call__(self, command: RelayedCommand) -> str:
        """Run a command; return the body of the answer."""
        fields = {key: value for key, value in vars(command).items() if key != "user"}
        return await asyncio.to_thread(self._service.answer, command.user, fields)


class IddsService:
    """An iDDS server, which ends with this process at the latest; its requests stay in its folder.

    Args:
        folder: Contains its requests, log and configuration.
        panda: Variables by which panda-client finds the PanDA server and the account of iDDS.
        python: Python that has the packages; see the variables above.
        proxy: Whether the PanDA server has a proxy, without which the relay cannot make the
            plain Client of iDDS.
        tick: Seconds between two looks of the agents at a request.
    """

    def __init__(
        self,
        folder: Path,
        panda: Mapping[str, str],
        python: Path | None = None,
        *,
        proxy: bool = True,
        tick: float = 0.1,
    ) -> None:
        self._folder = folder
        self._panda = dict(panda)
        self._python = python or python_with_idds() or Path(sys.executable)
        self._proxy = proxy
        self._tick = tick
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._url = ""

    def __enter__(self) -> IddsService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        return self._folder / "idds.log"

    def start(self) -> None:
        """Start iDDS, and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        url_file = self._folder / "idds.url"
        url_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # -I: the folder of the program contains an idds.py, which would hide the package.
                [str(self._python), "-I", str(_SERVICE), str(self._folder), str(self._tick)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        end = time.monotonic() + _START_LIMIT
        while not url_file.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"iDDS has not started:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        self._url = url_file.read_text()

    def close(self) -> None:
        """Stop iDDS."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def answer(self, user: str, fields: Mapping[str, Any]) -> str:
        """Run a command. This blocks, so do not call it in an event loop.

        Args:
            user: Caller, by the name that the PanDA server writes into tasks.
            fields: Fields of the request: ``command_name``, ``args``, ``kwargs``, ``manager``.

        Returns:
            What the relay answers, as JSON: ``[true, result]`` or ``[false, message]``.
        """
        with self._starting:
            if self._process is None:
                self.start()
        body = json.dumps({"user": user, "fields": dict(fields)}).encode()
        request = urllib.request.Request(f"{self._url}/relay", body)  # noqa: S310  # on loopback
        with urllib.request.urlopen(request, timeout=_COMMAND_LIMIT) as reply:  # noqa: S310
            return str(reply.read().decode())

    def _environment(self) -> dict[str, str]:
        own = ("PANDA", "OIDC", "IDDS", "X509", "RUCIO")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        # Any existing file will do, because the REST server does not use HTTPS.
        proxy = self._folder / "idds.proxy"
        proxy.write_text("no real proxy")
        login = (
            {"X509_USER_PROXY": str(proxy)}
            if self._proxy
            else {"IDDS_AUTH_TYPE": "oidc", "IDDS_OIDC_TOKEN": "of no use", "IDDS_VO": "testvo"}
        )
        home = {"HOME": str(self._folder), "IDDS_LOCAL_CONFIG_ROOT": str(self._folder / "idds")}
        return kept | home | login | self._panda


def python_with_idds() -> Path | None:
    """Return the Python that has the packages, or None."""
    if named := os.environ.get("GRID_TEST_IDDS_PYTHON"):
        return Path(named)
    parts = ("idds", "idds.atlas", "idds.client", "pandaclient")
    with contextlib.suppress(ImportError):
        if all(importlib.util.find_spec(part) for part in parts):
            return Path(sys.executable)
    return None
