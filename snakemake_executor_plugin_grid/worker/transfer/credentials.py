"""Credentials for WebDAV: a bearer token or an X.509 proxy, and the CAs that servers are known by.

The places are those of the WLCG Bearer Token Discovery specification (1.0) and of the grid's tools
for proxies.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import time
from functools import lru_cache
from pathlib import Path

from .errors import TransferError

_GRID_CAS = "/etc/grid-security/certificates"


def bearer_token(token_file: Path | None = None) -> str:
    """Return the token, empty if there is none; it is read anew, as tokens get renewed.

    Args:
        token_file: Where it is; by default where the specification says.

    Raises:
        TransferError: The file that is named cannot be read.
    """
    named = str(token_file or "")
    if not named:
        value = os.environ.get("BEARER_TOKEN", "").strip()
        if value:
            return value
        named = os.environ.get("BEARER_TOKEN_FILE", "")
    if named:
        try:
            return Path(named).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TransferError(f"the token file {named} cannot be read: {error}") from error
    leaf = f"bt_u{os.geteuid()}"
    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"):  # noqa: S108 - as specified
        path = Path(folder, leaf)
        if folder and path.is_file() and path.stat().st_uid == os.geteuid():
            return path.read_text().strip()
    return ""


def has_expired(token: str) -> bool:
    """Return whether a token says itself that it is over; one that tells no time has not."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"]) < time.time()
    except (IndexError, ValueError, KeyError, TypeError):
        return False


def proxy_file() -> Path | None:
    """Return the user's proxy, None if there is none."""
    named = os.environ.get("X509_USER_PROXY", "")
    path = Path(named or f"/tmp/x509up_u{os.geteuid()}")  # noqa: S108 - where tools put it
    return path if path.is_file() else None


def tls(*, verify: bool = True, proxy: Path | None = None) -> ssl.SSLContext:
    """Return the settings of a TLS connection.

    Args:
        verify: Whether the server has to show a certificate of a CA known here: those of the
            system, and those in ``X509_CERT_DIR``.
        proxy: Certificate, key and chain in one file, to be shown to the server.

    Raises:
        TransferError: The proxy cannot be used.
    """
    folder = os.environ.get("X509_CERT_DIR", "") or _GRID_CAS
    written = proxy.stat().st_mtime_ns if proxy is not None else 0  # it may be renewed
    return _tls(verify, proxy, written, folder)


@lru_cache(maxsize=4)  # to read the system's CAs takes as long as some requests
def _tls(verify: bool, proxy: Path | None, _written: int, folder: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # On by default from Python 3.13 on; CAs of the grid do not fulfil it all.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if Path(folder).is_dir():
        context.load_verify_locations(capath=folder)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if proxy is not None:
        try:
            context.load_cert_chain(proxy)
        except (OSError, ssl.SSLError) as error:
            raise TransferError(f"the proxy {proxy} cannot be used: {error}") from error
    return context
