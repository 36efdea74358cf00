"""This side of the DIRAC client process (``program``)."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...client_process.client import ProcessClient
from ...model.errors import GridError
from ...resilience.calls import CALL_TIMEOUT
from .replies import error_of

_PROGRAM = Path(__file__).with_name("program") / "__main__.py"
# They override DIRAC's own directory of certificates for https (seen with 9.1.22).
_UNWANTED = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

_sharing = threading.Lock()
_shared: dict[Path, Client] = {}


class Client(ProcessClient):
    """A DIRAC client; ``facts`` are what the configuration of the installation sets."""

    transfers = frozenset({"upload_sandbox", "fetch_sandbox", "put", "get", "store_file"})
    name = "DIRAC"
    option = "--grid-dirac-python"

    def __init__(self, python: Path, log: Path) -> None:
        """Start nothing yet; the arguments are those of `ProcessClient`."""
        super().__init__(python, log)
        self._users = 1
        self._group = ""  # of the last proxy, for messages after its file was removed

    @property
    def program(self) -> Path:
        """The program beside this module."""
        return _PROGRAM

    def environment(self) -> dict[str, str]:
        """Return this process's own variables, without those that mislead DIRAC."""
        return {key: value for key, value in os.environ.items() if key not in _UNWANTED}

    def error(self, call: str, answer: Mapping[str, Any]) -> GridError:
        """Return the error to raise for a failed call."""
        return error_of(call, **answer, group=self._group)

    def call_now(self, name: str, *args: Any, limit: float = CALL_TIMEOUT) -> Any:
        """Make a call, and remember the group of the proxy."""
        value = super().call_now(name, *args, limit=limit)
        if name == "proxy":
            self._group = str(value["group"])
        return value

    def close(self) -> None:
        """End the processes, when the last user does so."""
        with _sharing:
            self._users -= 1
            if self._users > 0:
                return
            _shared.pop(self.python, None)
        super().close()

    @classmethod
    def shared(cls, python: Path, log: Path) -> Client:
        """Return the client of this process for a Python; each user closes it.

        Storage provider and executor are in one process. DIRAC takes seconds to be imported, and
        100 MB.
        """
        with _sharing:
            if python in _shared:
                _shared[python]._users += 1
            else:
                _shared[python] = cls(python, log)
            return _shared[python]

    def sandbox_limit(self) -> int:
        """Return how many bytes a sandbox may have, in either direction."""
        facts = self.facts_now()
        return min(int(facts["sandbox_limit"]), int(facts["output_limit"]))
