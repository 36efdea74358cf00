"""This side of the DIRAC client process (``program``)."""

from __future__ import annotations

import os
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


class Client(ProcessClient):
    """A DIRAC client; ``facts`` are what the configuration of the installation sets."""

    transfers = frozenset({"upload_sandbox", "fetch_sandbox", "put", "get", "store_file"})
    name = "DIRAC"
    option = "--grid-dirac-python"

    def __init__(self, python: Path, log: Path) -> None:
        """Start nothing yet; the arguments are those of `ProcessClient`."""
        super().__init__(python, log)
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

    def sandbox_limit(self) -> int:
        """Return how many bytes a sandbox may have, in either direction."""
        facts = self.facts_now()
        return min(int(facts["sandbox_limit"]), int(facts["output_limit"]))
