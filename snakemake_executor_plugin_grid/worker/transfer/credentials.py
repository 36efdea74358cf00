"""Credentials for WebDAV: a bearer token or an X.509 proxy, and the CA certificates for servers.

They are searched for where the WLCG Bearer Token Discovery specification (1.0) and the usual tools
for proxies put them.
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
    """Return the token, empty if there is none; read each time, as tokens are renewed.

    Args:
        token_file: File with the token; by default the one of the specification.

    Raises:
        TransferError: The file cannot be read.
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
    """Return whether a token has expired; False if it contains no expiry time."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"]) < time.time()
    except (IndexError, ValueError, KeyError, TypeError):
        return False


def proxy_file() -> Path | None:
    """Return the file of the user's proxy, None if there is none."""
    named = os.environ.get("X509_USER_PROXY", "")
    path = Path(named or f"/tmp/x509up_u{os.geteuid()}")  # noqa: S108 - where tools put it
    return path if path.is_file() else None


def tls(*, verify: bool = True, proxy: Path | None = None) -> ssl.SSLContext:
    """Return the settings of a TLS connection.

    Args:
        verify: Whether the server needs a certificate of a known CA: one of the system or of
            ``X509_CERT_DIR``.
        proxy: File with certificate, key and chain, for client authentication.

    Raises:
        TransferError: The proxy cannot be used.
    """
    folder = os.environ.get("X509_CERT_DIR", "") or _GRID_CAS
    written = proxy.stat().st_mtime_ns if proxy is not None else 0  # it may be renewed
    return _tls(verify, proxy, written, folder)


@lru_cache(maxsize=4)  # reading the CAs of the system is slow
def _tls(verify: bool, proxy: Path | None, _written: int, folder: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # The default since Python 3.13; some grid CAs do not meet it.
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
