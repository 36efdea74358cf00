"""This side of the Rucio client process (``program``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...client_process.client import ProcessClient
from ...model.errors import GridError
from .replies import error_of

_PROGRAM = Path(__file__).with_name("program") / "__main__.py"


class RucioClient(ProcessClient):
    """A Rucio client; ``facts`` are its version, its server and how it authenticates."""

    transfers = frozenset({"download", "upload"})
    name = "Rucio"
    option = "--storage-grid-rucio-python"

    def __init__(self, python: Path, log: Path, account: str = "") -> None:
        """Start nothing yet.

        Args:
            python: Interpreter that has rucio-clients.
            log: File to which the client's output is appended.
            account: Of the user in Rucio; empty for that of ``RUCIO_ACCOUNT`` or rucio.cfg.
        """
        super().__init__(python, log)
        self._account = account

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
