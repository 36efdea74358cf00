"""The versions of DIRAC that work together, and what servers of older ones cannot do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...model.errors import PermanentError

if TYPE_CHECKING:
    from .client import Client

SUPPORTED = "DIRAC 8.0, 9.0 and 9.1"
_OLDEST = (8, 0)
_RELEASE = re.compile(r"v?(\d+)[.r](\d+)(?:[.p](\d+))?")


@dataclass(frozen=True)
class Versions:
    """Versions of a client and of the server that takes its jobs, such as ``9.1.22``.

    One that cannot be read counts as the newest: it may be a developer's.
    """

    client: str
    server: str

    def check(self) -> None:
        """Make sure that they work together.

        Before version 9, each system of a server has an instance in the configuration, which
        clients of version 9 do not look for: they find no service there.

        Raises:
            PermanentError: They do not, or the server is too old. A client that is too old has
                told that itself, at its start.
        """
        client, server = _release(self.client), _release(self.server)
        if server and server < _OLDEST:
            raise PermanentError(
                f"the DIRAC server has version {self.server}, which is too old: {SUPPORTED} are "
                "supported"
            )
        if client and server and client[0] > server[0]:
            raise PermanentError(
                f"the DIRAC client has version {self.client} and the server {self.server}, whose "
                f"services a client of version {client[0]} does not find; name the Python of a "
                f"client of version {server[0]} by --grid-dirac-python"
            )

    @property
    def memory_in_gb(self) -> bool:
        """Whether the server takes ``MaxRAM`` for GB and knows no ``MinRAM``: before 9.0.15."""
        server = _release(self.server)
        return bool(server) and server < (9, 0, 15)

    @property
    def gaps(self) -> list[str]:
        """What the server cannot do that others can."""
        if self.memory_in_gb:
            return ["memory in MB (a job asks for whole GB, and not for 1 GB or less)"]
        return []


async def read_versions(client: Client) -> Versions:
    """Ask the client and the server."""
    facts = await client.facts()
    return Versions(str(facts.get("version", "")), str(await client.call("server_version")))


def _release(version: str) -> tuple[int, ...]:
    match = _RELEASE.match(version)
    return tuple(int(number or 0) for number in match.groups()) if match else ()
