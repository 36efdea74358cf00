"""Fixtures: the servers, started when a test asks for them; to be imported by a conftest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .s3 import S3Server
from .webdav import PROGRAM, WebDavServer


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """Return an S3 with an empty bucket called ``bucket``."""
    server = S3Server()
    server.start()
    server.client().create_bucket(Bucket="bucket")
    yield server
    server.start()
    objects = server.client()
    for key in server.keys("bucket"):
        objects.delete_object(Bucket="bucket", Key=key)
    server.stop()


@pytest.fixture
def webdav() -> Iterator[WebDavServer]:
    """Return a WebDAV server; skip the test, or fail it, if there is none."""
    if not Path(PROGRAM).exists():
        reason = f"{PROGRAM} is not installed (Debian's apache2-bin)"
        if os.environ.get("GRID_TEST_STORES_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = WebDavServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
