"""Sends one HTTP request, follows redirects and classifies errors.

Doors of dCache, EOS and XRootD redirect PUT and GET to the server that has the disk. A large body
is therefore sent only when the server asks for it (RFC 9110, 10.1.1) or does not answer in time.
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

from ..interruption import between_blocks
from .credentials import bearer_token, has_expired, proxy_file, tls
from .errors import AbsentError, PassingError, RefusedError, TransferError, shown

TIME_LIMIT = 300.0
"""Seconds without progress after which a transfer fails."""
_CONNECT_LIMIT = 30.0
_CONTINUE_TIMEOUT = 3.0  # seconds to wait for 100 Continue
_EXPECT_FROM = 1 << 20  # bytes of a body from which on the server is asked first
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_BLOCK = 1 << 20
_MOST_TEXT = 16 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AGENT = "snakemake-executor-plugin-grid"
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # not to be quoted (RFC 3986, 2.2), or quoted already


@dataclass(frozen=True)
class Access:
    """How a request authenticates.

    Attributes:
        credentials: Whether to send the token or the proxy, to the host of the URL only.
        token_file: See `credentials.bearer_token`.
        verify: Whether the server must have a valid certificate.
    """

    credentials: bool = False
    token_file: Path | None = None
    verify: bool = True


ANONYMOUS = Access()


@dataclass(frozen=True)
class Body:
    """The body of a request.

    Attributes:
        size: Total bytes.
        head: Bytes before the file.
        path: The file, if any.
        tail: Bytes after it.
    """

    size: int
    head: bytes = b""
    path: Path | None = None
    tail: bytes = b""

    @classmethod
    def of(cls, path: Path | None = None, head: bytes = b"", tail: bytes = b"") -> Body:
        """Return a body with the present size of its file."""
        size = path.stat().st_size if path is not None else 0
        return cls(len(head) + size + len(tail), head, path, tail)


@dataclass(frozen=True)
class Answer:
    """The answer of a server.

    Attributes:
        status: HTTP status.
        headers: Headers of the answer.
        text: Body, unless a reader took it.
        url: URL after all redirects.
    """

    status: int
    headers: Message = field(default_factory=Message)
    text: bytes = b""
    url: str = ""


Reader = Callable[[int, Message, Callable[[int], bytes]], None]
"""Reads the body of a successful answer; gets status, headers and a ``read(count)`` function."""


def request(
    method: str,
    url: str,
    access: Access = ANONYMOUS,
    *,
    headers: dict[str, str] | None = None,
    body: Body | None = None,
    reader: Reader | None = None,
) -> Answer:
    """Send a request once.

    Args:
        method: HTTP method.
        url: ``http(s)://`` or ``dav(s)://``.
        access: How to authenticate.
        headers: Additional headers.
        body: Body of the request.
        reader: Reads the body of an answer with status 200 or 206.

    Returns:
        The answer, whatever its status; redirects have been followed.

    Raises:
        PassingError: There is no connection, or it broke.
        TransferError: The URL or a certificate is invalid.
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
            raise TransferError(f"{shown(url)}: redirected to an invalid URL: {error}") from error
        if scheme not in ("http", "https"):
            raise TransferError(f"{shown(url)}: redirected to this URL, which is not HTTP")
    raise TransferError(f"{shown(url)}: redirected too often")


def failure(answer: Answer, access: Access = ANONYMOUS, doing: str = "") -> TransferError:
    """Return the error that an unsuccessful answer means.

    Args:
        answer: The answer.
        access: How the request was authenticated.
        doing: What was tried, for the message.
    """
    where = f"{shown(answer.url)}: {doing + ': ' if doing else ''}"
    status = f"{answer.status} {http.client.responses.get(answer.status, '')}".strip()
    if answer.status == 404:
        return AbsentError(f"{where}{status}")
    if answer.status in (401, 403):
        if not access.credentials:
            why = "the signed URL has expired"
            if "?" not in answer.url:
                why = "a token or proxy is sent to davs:// URLs only"
            return TransferError(f"{where}{status}: {why}")
        token = bearer_token(access.token_file)
        if token and has_expired(token):
            return RefusedError(f"{where}{status}: the bearer token has expired; renew it")
        if not token and proxy_file() is None:
            return RefusedError(
                f"{where}{status}: found neither a bearer token (--grid-store-token, "
                "BEARER_TOKEN_FILE) nor a proxy (X509_USER_PROXY)"
            )
        if answer.status == 401:
            return RefusedError(f"{where}{status}: the server rejects the credentials")
        return TransferError(f"{where}{status}: the credentials do not permit this")
    if answer.status == 507:
        return TransferError(f"{where}{status}: the server has no space left; make room there")
    if answer.status == 413:
        return TransferError(f"{where}{status}: the server does not accept a file of this size")
    return (PassingError if answer.status in _PASSING else TransferError)(f"{where}{status}")


def destination(url: str) -> str:
    """Return a URL as the value of the header ``Destination``."""
    return quote(_http(url), safe=_SAFE)


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
            if body.size >= _EXPECT_FROM:
                connection.putheader("Expect", "100-continue")
        connection.endheaders()
        if body is not None:
            early = _early_answer(connection, url) if body.size >= _EXPECT_FROM else None
            if early is not None:
                return early
            with suppress(BrokenPipeError, ConnectionResetError):  # it has probably answered
                _send(connection, body)
        return _read(connection, url, reader)
    except (http.client.HTTPException, _BrokenOffError, OSError) as error:
        if isinstance(error, LocalError):
            raise error.error from None
        raise PassingError(f"{shown(url)}: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()


class _BrokenOffError(Exception):
    """The body of an answer is incomplete."""


class LocalError(OSError):
    """An error of the local disk, not of the connection."""

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
        # Others who get the certificate cannot use it without its key.
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
            f"{shown(url)}: the server's certificate cannot be verified: {error.verify_message}; "
            "set X509_CERT_DIR to the folder with the CA certificates"
        ) from error
    except UnicodeError as error:  # the host is not a valid name
        raise TransferError(f"{shown(url)}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise PassingError(f"{shown(url)}: {str(error) or type(error).__name__}") from error
    connection.sock.settimeout(TIME_LIMIT)
    return connection


class CertificateError(TransferError):
    """The server's certificate cannot be verified."""


def _authorization(url: str, access: Access) -> dict[str, str]:
    """Return the header with the token; only for TLS, or for this machine."""
    if not access.credentials:
        return {}
    token = bearer_token(access.token_file)
    if not token or not (_is_secure(url) or urlsplit(url).hostname in _LOOPBACK):
        return {}
    if not re.fullmatch(r"[!-~]+", token):  # http.client would show it in an error
        raise RefusedError(
            "the bearer token is not one word of ASCII; its file must contain only the token"
        )
    return {"Authorization": f"Bearer {token}"}


def _early_answer(connection: http.client.HTTPConnection, url: str) -> Answer | None:
    """Return an answer that comes before the body is sent, else None."""
    connection.sock.settimeout(_CONTINUE_TIMEOUT)
    stream = connection.sock.makefile("rb", 0)  # unbuffered: must not read beyond the answer
    try:
        line = stream.readline(_BLOCK)
        words = line.split(None, 2)
        if len(words) < 2 or not words[1].isdigit():
            raise http.client.BadStatusLine(line.decode("latin-1"))
        headers = http.client.parse_headers(stream)
        status = int(words[1])
        return None if status == 100 else Answer(status, headers, b"", url)
    except socket.timeout:  # not TimeoutError before Python 3.10; the server ignores Expect
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
        raise TransferError(f"{body.path}: changed during the upload")


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                between_blocks()
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
                    raise _BrokenOffError(f"the connection broke with {left} bytes missing")
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
