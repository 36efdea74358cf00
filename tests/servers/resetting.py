"""A proxy that resets TCP connections, as networks and busy servers do."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_BLOCK = 1 << 16


class ResettingProxy:
    """Passes connections on to a server of this host.

    Attributes:
        port: On which it listens.
        resets: How many connections it has reset.
    """

    def __init__(self, server: int) -> None:
        """Listen.

        Args:
            server: Port to which connections go.
        """
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.resets = 0
        self._plan: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self, plan: Sequence[int]) -> None:
        """Reset the next connections.

        Args:
            plan: For each, before which block of the server's answer; 0 for not at all.
        """
        self._plan = list(plan)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            block = self._plan.pop(0) if self._plan else 0
            threading.Thread(target=self._pass_on, args=(client, block), daemon=True).start()

    def _pass_on(self, client: socket.socket, block: int) -> None:
        server = socket.create_connection(("localhost", self._server))
        count = 0
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                while True:
                    for key, _ in selector.select():
                        source, target = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        data = source.recv(_BLOCK)
                        if not data:
                            return
                        count += source is server
                        if block and count >= block:
                            self.resets += 1
                            _reset(client)
                            return
                        target.sendall(data)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def _reset(connection: socket.socket) -> None:
    """End a connection by RST, and not by FIN (socket(7), SO_LINGER)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextmanager
def resetting(server: int) -> Iterator[ResettingProxy]:
    """Return a proxy of a server, by its port."""
    proxy = ResettingProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
