"""A small HTTP server that misbehaves on demand, for errors that real servers rarely show."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Script = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request by the next function of the script; the last function is repeated."""

    protocol_version = "HTTP/1.1"
    server: FlakyServer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Let the script decide whether to ask for the body."""
        return True

    def ask_for_body(self) -> bytes:
        """Ask the client for the body, and return it."""
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def answer(self, status: int, text: bytes = b"", **headers: str) -> None:
        """Send a complete answer."""
        self.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(text)), **named}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def follow(self) -> None:
        self.close_connection = True
        with self.server.lock:
            self.server.seen.append((self.command, self.path, dict(self.headers.items())))
            script = self.server.script
            act = script.pop(0) if len(script) > 1 else script[0]
        act(self)

    do_GET = do_HEAD = do_PUT = follow  # noqa: N815 - the names they have
    do_POST = do_MKCOL = do_PROPFIND = do_DELETE = do_MOVE = follow  # noqa: N815


class FlakyServer(ThreadingHTTPServer):
    """Follows a script.

    Attributes:
        script: What to do with each request, in turn.
        seen: Method, path and headers of each request.
    """

    daemon_threads = True

    def __init__(self, script: list[Script], certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: tests let clients disconnect on purpose."""


@contextmanager
def flaky(*script: Script, certificate: Path | None = None) -> Iterator[FlakyServer]:
    """Run a server."""
    server = FlakyServer(list(script), certificate)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
