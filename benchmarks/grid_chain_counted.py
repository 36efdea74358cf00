"""Snakemake that counts its own traffic over HTTP; for bench_grid_chain.py.

``grid_chain_counted.py FILE ARGS…`` runs ``snakemake ARGS…`` and writes to FILE, as JSON, the bytes
that this process has sent and received, and the paths of the files that it has moved. Workers are
processes of their own, and are not counted.
"""

from __future__ import annotations

import atexit
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_MOVING = ("GET", "PUT")
_COUNTED = {"send": 0, "sendall": 0, "recv": 0, "recv_into": 0}


def main() -> None:
    """Count, and go on."""
    file = Path(sys.argv.pop(1)).absolute()
    moved: list[str] = []

    def leave() -> None:
        file.write_text(json.dumps({"bytes": sum(_COUNTED.values()), "moved": moved}))

    for name in _COUNTED:
        setattr(socket.socket, name, counted(name))
    from snakemake_executor_plugin_grid.worker.transfer import connection

    ask = connection._ask

    def asked(method: str, url: str, *args: Any) -> Any:
        if method in _MOVING:
            moved.append(urlsplit(url).path)
        return ask(method, url, *args)

    connection._ask = asked
    atexit.register(leave)
    import snakemake.cli

    snakemake.cli.main()


def counted(name: str) -> Callable[..., Any]:
    """Return a method of sockets that counts what it moves, if that goes over TCP."""
    plain = getattr(socket.socket, name)

    def moving(self: socket.socket, data: Any, *args: Any) -> Any:
        result = plain(self, data, *args)
        if self.family == socket.AF_INET:
            size = result if isinstance(result, int) else len(data if result is None else result)
            _COUNTED[name] += size
        return result

    return moving


if __name__ == "__main__":
    main()
