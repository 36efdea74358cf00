"""This side of the Rucio client process (``program``)."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...client_process.client import ProcessClient
from ...model.errors import GridError
from .replies import error_of

_PROGRAM = Path(__file__).with_name("program") / "__main__.py"
_ACCOUNT = "SNAKEMAKE_STORAGE_GRID_RUCIO_ACCOUNT"
"""Of the storage plugin: what it says is good for a store as well."""

_sharing = threading.Lock()
_shared: dict[tuple[Path, str], RucioClient] = {}


class RucioClient(ProcessClient):
    """A Rucio client; ``facts`` are its version, its server and how it authenticates."""

    transfers = frozenset({"download", "upload"})
    name = "Rucio"
    option = "--grid-rucio-python"

    def __init__(self, python: Path, log: Path, account: str = "") -> None:
        """Start nothing yet.

        Args:
            python: Interpreter that has rucio-clients.
            log: File to which the client's output is appended.
            account: Of the user in Rucio; empty for that of ``RUCIO_ACCOUNT`` or rucio.cfg.
        """
        super().__init__(python, log)
        self._account = account
        self._users = 1

    @classmethod
    def shared(cls, python: Path | None, log: Path, account: str = "") -> RucioClient:
        """Return the client of this process for a Python and an account; each user closes it.

        Storage provider and store are in one process.

        Args:
            python: Interpreter that has rucio-clients; None for that of a client there is already,
                or this one.
            log: See above.
            account: See above; empty for that of a client there is already, or of the storage
                plugin's variable, too.
        """
        with _sharing:
            for (other, owner), client in _shared.items():
                if python in (None, other) and account in ("", owner):
                    client._users += 1
                    return client
            chosen = python or Path(sys.executable)
            account = account or os.environ.get(_ACCOUNT, "")
            client = _shared[chosen, account] = cls(chosen, log, account)
            atexit.register(client.close)
            return client

    def close(self) -> None:
        """End the processes, when the last user does so."""
        with _sharing:
            self._users -= 1
            if self._users > 0:
                return
            for key in [key for key, client in _shared.items() if client is self]:
                del _shared[key]
        atexit.unregister(self.close)
        super().close()

    @property
    def program(self) -> Path:
        """The program beside this module."""
        return _PROGRAM

    def environment(self) -> dict[str, str]:
        """Return the variables by which rucio-clients find server, account and credentials."""
        account = {"RUCIO_ACCOUNT": self._account} if self._account else {}
        # Else a section [database] in rucio.cfg makes them a part of a server.
        return {**os.environ, **account, "RUCIO_CLIENT_MODE": "1"}

    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        """Return the error to raise for a failed call."""
        return error_of(call, **answer)
