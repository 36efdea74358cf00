"""An S3 in this process: moto's server.

It checks no signatures, no policies and no expiry: any keys will do, and a signed URL works as well
without its signature. What it shows is that requests are well-formed and lead where they should.
"""

from __future__ import annotations

import functools
import urllib.request
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.servers.ports import free_port

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""Variables for boto3, together with ``AWS_ENDPOINT_URL``."""


class S3Server:
    """Can be stopped and started again without losing its objects, which are in this process."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._server: ThreadedMotoServer | None = None

    def start(self) -> None:
        """Start to listen, if stopped."""
        if self._server is not None:
            return
        self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def clear(self) -> None:
        """Remove all buckets."""
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset", method="POST")  # noqa: S310
        urllib.request.urlopen(request).close()  # noqa: S310 - our own

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make boto3 use this server."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.endpoint}

    @functools.cached_property
    def client(self) -> Any:
        """A client for tests that inspect the server directly."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region_name=ENVIRONMENT["AWS_DEFAULT_REGION"],
        )

    def keys(self, bucket: str) -> set[str]:
        """Return the names of all objects of a bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {item["Key"] for page in pages for item in page.get("Contents", [])}
