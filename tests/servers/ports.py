"""Ports for servers that are stopped and started again."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable

# Below the range of outgoing connections on Linux, so that the port of a stopped service is still
# free when it starts again.
_LOWEST_PORT, _HIGHEST_PORT = 15000, 32000


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """Find a free loopback port for each name."""
    ports: dict[str, int] = {}
    for name in names:
        while name not in ports:
            port = _LOWEST_PORT + secrets.randbelow(_HIGHEST_PORT - _LOWEST_PORT)
            if port not in ports.values() and _is_free(port):
                ports[name] = port
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
