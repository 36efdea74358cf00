"""File servers to test remote stores with, each on a free loopback port."""

from __future__ import annotations

import socket
import time


def wait_for(port: int, seconds: float = 20) -> None:
    """Wait until something listens on a port.

    Raises:
        TimeoutError: Nothing does.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"nothing listens on port {port}") from error
            time.sleep(0.05)
        else:
            return
