"""Files over HTTP: GET, PUT and MOVE by WebDAV, POST of a signed form to S3."""

from __future__ import annotations

import base64
import json
import re
import secrets
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import Callable
from urllib.parse import quote

from ..interruption import between_blocks
from .connection import (
    ANONYMOUS,
    Access,
    Answer,
    Body,
    CertificateError,
    LocalError,
    destination,
    failure,
    request,
)
from .errors import PassingError, TransferError, shown
from .facts import Facts
from .retry import retry_transfer

_BLOCK = 1 << 20
_GOOD = (200, 201, 202, 204, 206)
_GONE = (404, 410)
_ADLER32 = re.compile(r"(?i)\badler32=([0-9a-f]{1,8})\b")
CREDENTIALS = Access(credentials=True)


def get(url: str, path: Path, *, with_credentials: bool = False, public: bool = False) -> None:
    """Download a URL, with retries; resume a broken download.

    Args:
        url: ``http(s)://`` or ``dav(s)://``.
        path: Local file; replaced if it exists.
        with_credentials: Whether to send the token or proxy.
        public: Whether the server need not be verified; ignored for URLs with a query, which may be
            a secret signature.

    Raises:
        TransferError: The download failed.
        OSError: The local disk is full, and the like.
    """
    access = CREDENTIALS if with_credentials else ANONYMOUS
    path.unlink(missing_ok=True)
    try:
        retry_transfer(lambda: download(url, path, access))
    except CertificateError:
        if not public or "?" in url:
            raise
        retry_transfer(lambda: download(url, path, Access(verify=False)))


def put(path: Path, folder_url: str, name: str) -> None:
    """Upload a file to a WebDAV folder, with retries; the folder is created if missing.

    Raises:
        TransferError: It cannot be done.
        OSError: The local file cannot be read.
    """
    url = f"{folder_url.rstrip('/')}/{quote(name)}"
    retry_transfer(lambda: upload(path, url, CREDENTIALS))


def post(path: Path, signed: str, name: str) -> None:
    """Upload a file to S3 by a form whose policy the submit host has signed, with retries.

    Args:
        path: Local file, of at most 5 GB (Amazon S3 API Reference, POST Object).
        signed: Base64, for URLs, of a JSON object: ``url``, and ``fields`` of the form, whose
            ``key`` contains ``${filename}`` in place of the name.
        name: Plain name.

    Raises:
        TransferError: It cannot be done.
        OSError: The local file cannot be read.
    """
    try:
        form = json.loads(base64.urlsafe_b64decode(signed))
        url, fields = str(form["url"]), {str(k): str(v) for k, v in form["fields"].items()}
        fields["key"] = fields["key"].replace("${filename}", name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TransferError("the signed URL for outputs is damaged") from error
    retry_transfer(lambda: _post(path, url, fields))


def download(url: str, path: Path, access: Access, most: int | None = None) -> None:
    """Download a file, or the rest of it if a part is there; one attempt.

    Args:
        url: Of the file.
        path: Local file.
        access: How to connect.
        most: Bytes that the file may have, None for any number.

    Raises:
        TransferError: The download failed.
        OSError: The local file cannot be written.
    """
    start = path.stat().st_size if path.exists() else 0
    headers = {"Range": f"bytes={start}-"} if start else {}

    def take(status: int, headers: Message, read: Callable[[int], bytes]) -> None:
        resumed = status == 206 and headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if status == 206 and not resumed:
            raise TransferError(f"{shown(url)}: the server sent another part than requested")
        try:
            stream = path.open("ab" if resumed else "wb")
        except OSError as error:
            raise LocalError(error) from error
        with stream:
            while block := read(_BLOCK):
                between_blocks()
                if most is not None and stream.tell() + len(block) > most:
                    raise TransferError(f"{shown(url)}: the server sends more than {most} bytes")
                try:
                    stream.write(block)
                except OSError as error:
                    raise LocalError(error) from error

    answer = request("GET", url, access, headers=headers, reader=take)
    if answer.status == 416:  # there is no rest, or the file has changed
        path.unlink()
        answer = request("GET", url, access, reader=take)
    if answer.status not in (200, 206):
        raise failure(answer, access)


def upload(path: Path, url: str, access: Access) -> None:
    """Upload a file, create missing folders, and compare the sizes; one attempt.

    Raises:
        TransferError: It cannot be done.
        OSError: The local file cannot be read.
    """
    body = Body.of(path)
    answer = request("PUT", url, access, body=body)
    if answer.status in (404, 409):  # RFC 4918, 9.7.1: 409 where a folder is missing
        make_folder(url.rpartition("/")[0], access)
        answer = request("PUT", url, access, body=body)
    if answer.status not in _GOOD:
        raise failure(answer, access, "upload")
    there = size(url, access)
    if there != body.size:
        raise PassingError(f"{shown(url)}: {there} of {body.size} bytes arrived")


def size(url: str, access: Access) -> int | None:
    """Return the size of a file in bytes, None if it does not exist.

    Raises:
        TransferError: The server does not tell it.
    """
    answer = _head(url, access, {})
    return None if answer is None else _size(answer, url, access)


def facts(url: str, access: Access) -> Facts | None:
    """Return what the server knows of a file, None if it does not exist.

    Raises:
        TransferError: The server does not tell it, or it is a folder.
    """
    answer = _head(url, access, {"Want-Digest": "adler32"})
    if answer is None:
        return None
    if answer.url.partition("?")[0].endswith("/"):
        raise TransferError(f"{shown(url)}: is a folder")
    there = _size(answer, url, access)
    if there is None:
        return None
    from email.utils import parsedate_to_datetime

    mtime = 0
    with suppress(TypeError, ValueError):
        mtime = int(parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp())
    told = _ADLER32.search(",".join(answer.headers.get_all("Digest", [])))
    return Facts(there, mtime, told[1].lower().zfill(8) if told else "")


def move(source: str, target: str, access: Access, *, replace: bool) -> None:
    """Rename a file; one attempt.

    Raises:
        TransferError: It cannot be done, such as if the target exists and is not to be replaced.
    """
    headers = {"Destination": destination(target), "Overwrite": "T" if replace else "F"}
    answer = request("MOVE", source, access, headers=headers)
    if replace and answer.status in (409, 412):  # the server replaces no file by it
        remove(target, access)
        answer = request("MOVE", source, access, headers=headers)
    if answer.status not in _GOOD:
        raise failure(answer, access, "renaming")


def remove(url: str, access: Access) -> None:
    """Remove a file; one attempt. One that does not exist counts as removed.

    Raises:
        TransferError: It cannot be done.
    """
    answer = request("DELETE", url, access)
    if answer.status not in (200, 202, 204, *_GONE):
        raise failure(answer, access, "removal")


def _head(url: str, access: Access, headers: dict[str, str]) -> Answer | None:
    answer = request("HEAD", url, access, headers=headers)
    if answer.status in _GONE:
        return None
    if answer.status != 200:
        raise failure(answer, access)
    return answer


def _size(answer: Answer, url: str, access: Access) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else _size_by_range(url, access)


def _size_by_range(url: str, access: Access) -> int | None:
    """Return the size without HEAD: Apache (2.4) omits a length of 0 there."""
    first = {"Range": "bytes=0-0"}
    answer = request("GET", url, access, headers=first, reader=lambda *_: None)
    if answer.status == 404:
        return None
    if answer.status not in (200, 206, 416):
        raise failure(answer, access)
    name = "Content-Length" if answer.status == 200 else "Content-Range"
    total = answer.headers.get(name, "").rpartition("/")[2]
    if not total.isdigit():
        raise TransferError(f"{shown(url)}: the server does not tell the size")
    return int(total)


def make_folder(url: str, access: Access) -> None:
    """Create a folder and its missing parents.

    Raises:
        TransferError: It cannot be done.
    """
    answer = request("MKCOL", f"{url}/", access)
    if answer.status in (404, 409) and url.count("/") > 3:
        make_folder(url.rpartition("/")[0], access)
        answer = request("MKCOL", f"{url}/", access)
    if answer.status not in (*_GOOD, 405):  # 405: it exists (RFC 4918, 9.3.1)
        raise failure(answer, access, "creating a folder")


def _post(path: Path, url: str, fields: dict[str, str]) -> None:
    boundary = secrets.token_hex(16)
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    lines.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = Body.of(path, "".join(lines).encode(), f"\r\n--{boundary}--\r\n".encode())
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = request("POST", url, headers=headers, body=body)
    if answer.status not in _GOOD:
        raise failure(answer, doing=f"upload of {fields['key']}{_s3_says(answer)}")


def _s3_says(answer: Answer) -> str:
    """Return code and message of the XML with which S3 answers."""
    found = re.search(rb"<Code>(\w+)</Code>(?:\s*<Message>([^<]{,200}))?", answer.text)
    if found is None:
        return ""
    return f" ({b': '.join(part for part in found.groups() if part).decode(errors='replace')})"
