"""One HTTP request, its redirects followed, its errors told apart.

Doors of dCache, EOS and XRootD send PUT and GET on to the server that has the disk, so a body is
held back until the server has asked for it (RFC 9110, 10.1.1) or for some seconds has not answered.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Callable
from urllib.parse import quote, urljoin, urlsplit

from .credentials import bearer_token, has_expired, proxy_file, tls
from .errors import AbsentError, PassingError, RefusedError, TransferError, shown

TIME_LIMIT = 300.0
"""Seconds without any progress, after which a transfer is given up."""
_CONNECT_LIMIT = 30.0
_HESITATION = 3.0
_WORTH_ASKING = 1 << 20  # bytes from which on it is
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 20
_MOST_TEXT = 16 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AGENT = "snakemake-executor-plugin-grid"
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what a URL may hold as it is (RFC 3986, 2.2), and what is quoted


@dataclass(frozen=True)
class Access:
    """By what right a server is asked.

    Attributes:
        credentials: Whether the token or the proxy is shown; to the host of the URL alone.
        token_file: See `credentials.bearer_token`.
        verify: Whether the server has to prove who it is.
    """

    credentials: bool = False
    token_file: Path | None = None
    verify: bool = True


ANONYMOUS = Access()


@dataclass(frozen=True)
class Body:
    """What a request sends.

    Attributes:
        size: Bytes of all together.
        head: Goes before the file.
        path: The file, None for none.
        tail: Goes after it.
    """

    size: int
    head: bytes = b""
    path: Path | None = None
    tail: bytes = b""

    @classmethod
    def of(cls, path: Path | None = None, head: bytes = b"", tail: bytes = b"") -> Body:
        """Return a body, and learn the size of its file."""
        size = path.stat().st_size if path is not None else 0
        return cls(len(head) + size + len(tail), head, path, tail)


@dataclass(frozen=True)
class Answer:
    """What a server has answered.

    Attributes:
        status: HTTP status.
        headers: Of the answer.
        text: Of the body, unless a reader took it.
        url: Which was asked in the end.
    """

    status: int
    headers: Message = field(default_factory=Message)
    text: bytes = b""
    url: str = ""


Reader = Callable[[int, Message, Callable[[int], bytes]], None]
"""Takes the body of a good answer: status, headers, and a function that reads up to some bytes."""


def request(
    method: str,
    url: str,
    access: Access = ANONYMOUS,
    *,
    headers: dict[str, str] | None = None,
    body: Body | None = None,
    reader: Reader | None = None,
) -> Answer:
    """Ask a server once.

    Args:
        method: HTTP method.
        url: ``http(s)://`` or ``dav(s)://``.
        access: By what right.
        headers: Further ones.
        body: What is sent.
        reader: Takes the body of an answer with status 200 or 206.

    Returns:
        The answer, whatever its status; redirects have been followed.

    Raises:
        PassingError: No connection, or it broke.
        TransferError: The URL, or a certificate, is no good.
    """
    first = _origin(url)
    for _ in range(_MOST_REDIRECTS + 1):
        own = access if _origin(url) == first else Access(verify=access.verify)
        answer = _ask(method, url, own, headers or {}, body, reader)
        target = answer.headers.get("Location", "")
        if answer.status not in _REDIRECTS or not target:
            return answer
        try:
            url = urljoin(_http(url), target)
            scheme = _origin(url)[0]
        except ValueError as error:
            raise TransferError(f"{shown(url)}: redirected to what is no URL: {error}") from error
        if scheme not in ("http", "https"):
            raise TransferError(f"{shown(url)}: redirected there, which is no HTTP")
    raise TransferError(f"{shown(url)}: redirected too often")


def failure(answer: Answer, access: Access = ANONYMOUS, doing: str = "") -> TransferError:
    """Return what an answer means that is no good one.

    Args:
        answer: The answer.
        access: By what right the server was asked.
        doing: What was tried, in words.
    """
    where = f"{shown(answer.url)}: {doing + ': ' if doing else ''}"
    status = f"{answer.status} {http.client.responses.get(answer.status, '')}".strip()
    if answer.status == 404:
        return AbsentError(f"{where}{status}")
    if answer.status in (401, 403):
        if not access.credentials:
            return TransferError(f"{where}{status}: the signature, or the right to it, has expired")
        token = bearer_token(access.token_file)
        if token and has_expired(token):
            return RefusedError(f"{where}{status}: the bearer token has expired; renew it")
        if not token and proxy_file() is None:
            return RefusedError(
                f"{where}{status}: there is neither a bearer token (--grid-store-token, "
                "BEARER_TOKEN_FILE) nor a proxy (X509_USER_PROXY)"
            )
        if answer.status == 401:
            return RefusedError(f"{where}{status}: the server does not take the credentials")
        return TransferError(f"{where}{status}: the credentials do not allow it")
    if answer.status == 507:
        return TransferError(f"{where}{status}: there is no space left; make room")
    if answer.status == 413:
        return TransferError(f"{where}{status}: the server takes no file of that size")
    return (PassingError if answer.status in _PASSING else TransferError)(f"{where}{status}")


def _ask(
    method: str,
    url: str,
    access: Access,
    headers: dict[str, str],
    body: Body | None,
    reader: Reader | None,
) -> Answer:
    connection = _connect(url, access)
    parts = urlsplit(url)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(method, quote(target, safe=_SAFE), skip_accept_encoding=True)
        fixed = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **_authorization(url, access)}
        for name, value in {**fixed, **headers}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(body.size))
            if body.size >= _WORTH_ASKING:
                connection.putheader("Expect", "100-continue")
        connection.endheaders()
        if body is not None:
            early = _early_answer(connection, url) if body.size >= _WORTH_ASKING else None
            if early is not None:
                return early
            with suppress(BrokenPipeError, ConnectionResetError):  # it has answered, most likely
                _send(connection, body)
        return _read(connection, url, reader)
    except (http.client.HTTPException, _BrokenOffError, OSError) as error:
        if isinstance(error, LocalError):
            raise error.error from None
        raise PassingError(f"{shown(url)}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


class _BrokenOffError(Exception):
    """The body of an answer ended early."""


class LocalError(OSError):
    """An error of the local disk, which is none of the connection."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _connect(url: str, access: Access) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise TransferError(f"{shown(url)}: {error}") from error
    connection: http.client.HTTPConnection
    if _is_secure(url):
        # The certificate may be shown to others: it is of no use to them.
        with_proxy = access.credentials and not bearer_token(access.token_file)
        context = tls(verify=access.verify, proxy=proxy_file() if with_proxy else None)
        connection = http.client.HTTPSConnection(
            host, port, timeout=_CONNECT_LIMIT, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_LIMIT)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            f"{shown(url)}: the server's certificate is no good: {error.verify_message}; "
            "X509_CERT_DIR names the folder of the CAs"
        ) from error
    except UnicodeError as error:  # of a host that is no name
        raise TransferError(f"{shown(url)}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise PassingError(f"{shown(url)}: {str(error) or type(error).__name__}") from error
    connection.sock.settimeout(TIME_LIMIT)
    return connection


class CertificateError(TransferError):
    """The server does not show that it is who it should be."""


def _authorization(url: str, access: Access) -> dict[str, str]:
    """The token, over TLS or inside of this machine alone."""
    if not access.credentials:
        return {}
    token = bearer_token(access.token_file)
    if not token or not (_is_secure(url) or urlsplit(url).hostname in _LOOPBACK):
        return {}
    if not re.fullmatch(r"[!-~]+", token):  # an error of http.client would show it
        raise RefusedError(
            "the bearer token is not one word of ASCII; its file must hold nothing but the token"
        )
    return {"Authorization": f"Bearer {token}"}


def _early_answer(connection: http.client.HTTPConnection, url: str) -> Answer | None:
    """What the server says before it has got the body; nothing if it wants it."""
    connection.sock.settimeout(_HESITATION)
    stream = connection.sock.makefile("rb", 0)  # nothing beyond the answer may be read
    try:
        line = stream.readline(_BLOCK)
        words = line.split(None, 2)
        if len(words) < 2 or not words[1].isdigit():
            raise http.client.BadStatusLine(line.decode("latin-1"))
        headers = http.client.parse_headers(stream)
        status = int(words[1])
        return None if status == 100 else Answer(status, headers, b"", url)
    except socket.timeout:  # no TimeoutError before Python 3.10; it knows nothing of this
        return None
    finally:
        stream.close()
        connection.sock.settimeout(TIME_LIMIT)


def _send(connection: http.client.HTTPConnection, body: Body) -> None:
    sent = 0

    def send(block: bytes) -> None:
        nonlocal sent
        sent += len(block)
        connection.send(block)

    if body.head:
        send(body.head)
    if body.path is not None:
        for block in _blocks(body.path):
            send(block)
    if body.tail:
        send(body.tail)
    if sent != body.size:
        raise TransferError(f"{body.path}: changed while it was being sent")


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                yield block
    except OSError as error:
        raise LocalError(error) from error


def _read(connection: http.client.HTTPConnection, url: str, reader: Reader | None) -> Answer:
    response = connection.getresponse()
    if reader is not None and response.status in (200, 206):
        left = response.length

        def read(count: int) -> bytes:
            nonlocal left
            block = response.read(count)
            if left is not None:
                left -= len(block)
                if not block and left:
                    raise _BrokenOffError(f"the connection ended {left} bytes too early")
            return block

        reader(response.status, response.headers, read)
        return Answer(response.status, response.headers, b"", url)
    text = response.read(_MOST_TEXT)
    return Answer(response.status, response.headers, text, url)


def _http(url: str) -> str:
    """``davs://`` is ``https://``, and ``dav://`` is ``http://``."""
    scheme, colon, rest = url.partition(":")
    return {"dav": "http", "davs": "https"}.get(scheme, scheme) + colon + rest


def _is_secure(url: str) -> bool:
    return urlsplit(_http(url)).scheme == "https"


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(_http(url))
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or default
