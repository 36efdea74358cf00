"""This side of the PanDA client process (``program.py``)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...client_process.client import ProcessClient
from ...model.errors import CredentialsError, GridError, PermanentError
from .credentials import client_environment, read_credentials
from .replies import error_of

_PROGRAM = Path(__file__).with_name("program.py")


class Client(ProcessClient):
    """A PanDA client; ``facts`` are where its servers are."""

    transfers = frozenset({"upload"})
    name = "PanDA"
    option = "--grid-panda-python"

    @property
    def program(self) -> Path:
        """The program beside this module."""
        return _PROGRAM

    def environment(self) -> dict[str, str]:
        """Return the variables by which panda-client finds servers and credentials."""
        return client_environment(os.environ, time.time())

    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        """Return the error to raise for a failed call."""
        error = error_of(call, **answer)
        if isinstance(error, CredentialsError):
            try:
                read_credentials(os.environ, time.time())
            except CredentialsError as seen_from_here:  # names the file or variable
                return seen_from_here
            except PermanentError:
                pass
        return error
