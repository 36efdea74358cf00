"""S3, ``s3://bucket/prefix``, at Amazon or at ``AWS_ENDPOINT_URL``.

The submit host has the keys, by any of boto3's ways; workers get signed URLs, and need none.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ..console.format import clause
from ..console.progress import NOTHING, Transfer
from ..model.errors import CredentialsError, GridError, MissingError, PermanentError, TransientError
from ..model.untrusted import check_size
from ..worker.interruption import between_blocks
from .transport import Transport

T = TypeVar("T")

EXPIRY = 7 * 86400
"""Seconds for which signed URLs are valid: the maximum of signatures of version 4 (Amazon S3 User
Guide). URLs that are signed with temporary keys expire with the keys."""
_PER_CALL = 1000  # Amazon S3 API Reference, DeleteObjects
_TIMES = {"connect_timeout": 20, "read_timeout": 120}
_GONE = ("404", "NoSuchKey", "NotFound")
_CREDENTIALS = (
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
)
_PASSING = (
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "IncompleteBody",
)
_HINT = "see boto3's ways to give keys (AWS_PROFILE, AWS_ACCESS_KEY_ID, ~/.aws/credentials)"


class S3Transport(Transport):
    """Objects of a bucket below a prefix."""

    secret = True

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Args:
            url: ``s3://bucket/prefix``.
        """
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._lock = threading.Lock()
        self._made: Any = None

    def check(self) -> None:
        """Do nothing: the bucket exists, and objects need no folders."""

    def size(self, name: str) -> int | None:
        """Return the size of an object."""
        try:
            answer = self._call(lambda s3: s3.head_object(Bucket=self._bucket, Key=self._key(name)))
        except MissingError:
            return None
        return int(answer["ContentLength"])

    def upload(self, path: Path, name: str, transfer: Transfer = NOTHING) -> None:
        """Upload a file, a large one in parts, several at a time."""
        key, count = self._key(name), _counter(transfer)
        self._call(lambda s3: s3.upload_file(str(path), self._bucket, key, Callback=count))

    def download(
        self, name: str, path: Path, transfer: Transfer = NOTHING, most: int | None = None
    ) -> None:
        """Download an object, a large one in parts."""
        key, count = self._key(name), _counter(transfer, most)
        try:
            self._call(lambda s3: s3.download_file(self._bucket, key, str(path), Callback=count))
        except MissingError as error:
            raise MissingError(f"{self.url}/{name} is not there") from error

    def remove(self, names: Sequence[str]) -> dict[str, str]:
        """Remove objects, a thousand in a call."""
        failed = {}
        of = {self._key(name): name for name in names}
        keys = list(of)
        for start in range(0, len(keys), _PER_CALL):
            for error in self._delete(keys[start : start + _PER_CALL]):
                if error.get("Code") not in _GONE:
                    failed[of[error["Key"]]] = f"{error.get('Code')}: {error.get('Message')}"
        return failed

    def listing(self, folder: str) -> list[str]:
        """Return the names after the folder's prefix, up to the next slash."""
        prefix = f"{self._key(folder)}/"

        def ask(s3: Any) -> list[str]:
            found = []
            pages = s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                found += [item["Key"] for item in page.get("Contents", [])]
                found += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            return [key.removeprefix(prefix).rstrip("/") for key in found]

        return [leaf for leaf in self._call(ask) if leaf]

    def source(self, name: str) -> str:
        """Return a signed URL, valid for ``EXPIRY``."""
        wanted = {"Bucket": self._bucket, "Key": self._key(name)}
        url = self._call(
            lambda s3: s3.generate_presigned_url("get_object", Params=wanted, ExpiresIn=EXPIRY)
        )
        return str(url)

    def inbox(self, folder: str) -> str:
        """Return a signed form by which objects can be posted below the folder, as a URL.

        It is valid for ``EXPIRY``, and for objects of up to 5 GB (Amazon S3 API Reference, POST
        Object). See `worker.web.post`.
        """
        key = f"{self._key(folder)}/${{filename}}"
        form = self._call(
            lambda s3: s3.generate_presigned_post(self._bucket, key, ExpiresIn=EXPIRY)
        )
        return f"signed:{base64.urlsafe_b64encode(json.dumps(form).encode()).decode()}"

    def _delete(self, keys: Sequence[str]) -> list[dict[str, str]]:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._call(lambda s3: s3.delete_objects(Bucket=self._bucket, Delete=wanted))
        return list(answer.get("Errors", []))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _new_client()
            return self._made

    def _call(self, call: Callable[[Any], T]) -> T:
        try:
            return call(self._client())
        except GridError:  # of a callback, as the run is ending
            raise
        except Exception as error:
            translated = self._translated(error)
            if isinstance(translated, CredentialsError):
                with self._lock:
                    self._made = None  # the next client reads the keys again
            raise translated from error

    def _translated(self, error: Exception) -> GridError:
        """Return the error to raise for one of boto3."""
        from boto3.exceptions import Boto3Error
        from botocore import exceptions as known

        cause = error.__cause__ or error.__context__
        if isinstance(error, Boto3Error) and isinstance(cause, Exception):  # S3UploadFailedError
            error = cause
        if isinstance(error, known.ClientError):
            return self._refused(error.response)
        if isinstance(
            error,
            (
                known.NoCredentialsError,
                known.PartialCredentialsError,
                known.CredentialRetrievalError,
                known.TokenRetrievalError,
                known.UnauthorizedSSOTokenError,
            ),
        ):
            return CredentialsError(f"{self.url}: {clause(error)}; {_HINT}")
        if isinstance(error, known.SSLError):
            return PermanentError(
                f"{self.url}: {clause(error)}; AWS_CA_BUNDLE names the file of the CAs"
            )
        if isinstance(
            error, (known.HTTPClientError, known.ConnectionError, known.IncompleteReadError)
        ):
            return TransientError(f"{self.url}: {error}")
        if isinstance(error, OSError) and not isinstance(error, known.BotoCoreError):  # a full disk
            raise error
        return PermanentError(f"{self.url}: {error}")

    def _refused(self, response: dict[str, Any]) -> GridError:
        """Return the error to raise for one of the server."""
        details = response.get("Error", {})
        code, said = str(details.get("Code", "")), details.get("Message") or ""
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        text = f"{self.url}: {code}{f': {said}' if said else ''}"
        if code == "NoSuchBucket":
            return PermanentError(
                f"{text}; make the bucket {self._bucket!r}, or name another by --grid-store"
            )
        if code in _GONE:
            return MissingError(text)
        if code in _CREDENTIALS or status == 401:
            return CredentialsError(f"{text}; {_HINT}")
        if status == 403:
            return PermanentError(
                f"{text}; the keys need s3:GetObject, s3:PutObject, s3:DeleteObject and "
                f"s3:ListBucket for the bucket {self._bucket!r}"
            )
        if code in _PASSING or (status >= 500 and status not in (501, 507)):
            return TransientError(text)
        return PermanentError(text)


def _counter(transfer: Transfer, most: int | None = None) -> Callable[[int], None]:
    """Return a function that boto3 calls with the bytes of each block."""
    moved = 0

    def count(size: int) -> None:
        nonlocal moved
        between_blocks()
        transfer.advance(size)
        moved += size
        check_size("what the server sends", moved, most)

    return count


def _new_client() -> Any:
    """Return a client; this takes boto3 a second."""
    import boto3
    import botocore.session
    from botocore.config import Config

    core = botocore.session.Session()
    style = core.get_scoped_config().get("s3", {})
    session = boto3.session.Session(botocore_session=core)

    def make(addressing: str) -> Any:
        config = Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": addressing},
            # Servers other than Amazon's refuse the checksums that boto3 adds since 1.36.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **_TIMES,
        )
        return session.client("s3", config=config)

    chosen = style.get("addressing_style") if isinstance(style, dict) else None
    client = make(chosen or "auto")
    if not chosen and not (urlsplit(client.meta.endpoint_url).hostname or "").endswith(
        ".amazonaws.com"
    ):
        client = make("path")  # others have no name in DNS for each bucket, as a rule
    return client
