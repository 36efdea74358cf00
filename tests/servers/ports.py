"""Ports for servers that are stopped and started again."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

# Below the range of outgoing connections on Linux, so that the port of a stopped service is still
# free when it starts again.
_LOWEST_PORT, _HIGHEST_PORT = 15000, 32000


def free_ports(names: Iterable[str], folder: Path) -> dict[str, int]:
    """Find a free loopback port for each name, and claim it while the server's folder exists.

    The claim keeps other test runs from the port of a service that is stopped for a while.

    Args:
        names: Of the services.
        folder: Of the server; it is made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports: dict[str, int] = {}
    for name in names:
        while name not in ports:
            port = _LOWEST_PORT + secrets.randbelow(_HIGHEST_PORT - _LOWEST_PORT)
            if _is_free(port) and _claim(port, folder.absolute()):
                ports[name] = port
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port: int, folder: Path) -> bool:
    """Note who has a port; return False if another server has it, whose folder still exists."""
    claims = Path(tempfile.gettempdir()) / f"grid-test-ports-{os.getuid()}"
    claims.mkdir(mode=0o700, exist_ok=True)
    claim = claims / str(port)
    if claim.is_symlink() and not claim.exists():
        claim.unlink(missing_ok=True)
    try:
        claim.symlink_to(folder)
    except FileExistsError:
        return False
    return True
