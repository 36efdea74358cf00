"""Free ports for servers on loopback."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

# Below the range of outgoing connections on Linux: no connection takes the port before the server
# starts, or while it is stopped.
_LOWEST_PORT, _HIGHEST_PORT = 15000, 32000


def free_port() -> int:
    """Return a free loopback port."""
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_HIGHEST_PORT - _LOWEST_PORT)
        if _is_free(port):
            return port


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
            port = free_port()
            if _claim(port, folder.absolute()):
                ports[name] = port
    return ports


def _is_free(port: int) -> bool:
    if _claims().joinpath(str(port)).exists():
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(port: int, folder: Path) -> bool:
    """Note who has a port; return False if another server was quicker."""
    claim = _claims() / str(port)
    if claim.is_symlink() and not claim.exists():
        claim.unlink(missing_ok=True)
    try:
        claim.symlink_to(folder)
    except FileExistsError:
        return False
    return True


def _claims() -> Path:
    """Return the folder that has, for each claimed port, a link to the folder of its server."""
    claims = Path(tempfile.gettempdir()) / f"grid-test-ports-{os.getuid()}"
    claims.mkdir(mode=0o700, exist_ok=True)
    return claims
