"""Why a server cannot be reached, from the texts of client libraries."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from snakemake_executor_plugin_grid.resilience.connection_errors import unreachable


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "HTTPSConnection(host='grid.example.org', port=8443): Failed to resolve "
            "'grid.example.org' ([Errno -2] Name or service not known)",
            "grid.example.org:8443: name or service not known",
        ),
        (
            "Can't connect to dips://[::1]:9135/Configuration/Server: [Errno 113] No route to host",
            "[::1]:9135: no route to host",
        ),
        ("('::1', 9135, 0, 0) [Errno 111] Connection refused:x", "[::1]:9135: connection refused"),
        ("https://host/server/panda: [Errno 111] Connection refused", "host: connection refused"),
        ("[Errno 111] Connection refused", ""),
        ("HTTPSConnectionPool(host='h', port=8443): Max retries exceeded with url: /W: None", ""),
        ("('h', 1) [Errno 104] Connection reset by peer", ""),  # it was reached
        ("", ""),
    ],
)
def test_address_and_reason(message: str, cause: str) -> None:
    assert unreachable(message) == cause


def test_the_words_of_this_python() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(OSError, match="refused") as caught:
            urllib.request.urlopen(url)
    host = url.removeprefix("http://").rstrip("/")
    assert unreachable(f"{url}: {caught.value}") == f"{host}: connection refused"
