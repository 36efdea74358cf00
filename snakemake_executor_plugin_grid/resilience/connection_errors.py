"""Reads from the errors of client libraries why a server cannot be reached.

The texts are those of Python's sockets, urllib3, requests, httpx and DIRAC's own transports. Each
library puts its words around those of the one below it.
"""

from __future__ import annotations

import re

_REASONS = (
    "connection refused",
    "connection timed out",
    "no route to host",
    "network is unreachable",
    "host is unreachable",
    "name or service not known",
    "temporary failure in name resolution",
    "no address associated with hostname",
    "nodename nor servname provided",
)
_ADDRESSES = (
    re.compile(r"\('(?P<host>[^']+)', (?P<port>\d+)"),  # of a socket
    re.compile(r"host='(?P<host>[^']+)', port=(?P<port>\d+)"),  # of urllib3
    re.compile(r"\w+://(?P<host>\[[^\]]+\]|[^/\s:@'\"]+)(?::(?P<port>\d+))?"),
)


def unreachable(message: str) -> str:
    """Return address and reason, such as "127.0.0.1:8443: connection refused".

    Empty if the message does not say that a server cannot be reached, or which one.

    Args:
        message: Of the client library.
    """
    text = message.casefold()
    reason = next((reason for reason in _REASONS if reason in text), "")
    found = next(filter(None, (pattern.search(message) for pattern in _ADDRESSES)), None)
    if not reason or found is None:
        return ""
    host, port = found["host"], found["port"]
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port}: {reason}" if port else f"{host}: {reason}"
