"""Fixtures ``s3`` and ``webdav``; a module that imports them gets servers that are empty.

Each process of the tests starts a server once, when a test asks for it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .s3 import S3Server
from .webdav import PROGRAM, WebDavServer


@pytest.fixture
def s3(request: pytest.FixtureRequest) -> Iterator[S3Server]:
    """Return an S3 with an empty bucket called ``bucket``."""
    server = _s3_server(request.config)
    server.start()
    server.clear()
    server.client.create_bucket(Bucket="bucket")
    yield server
    server.start()


@pytest.fixture
def webdav(request: pytest.FixtureRequest) -> WebDavServer:
    """Return a WebDAV server; skip the test, or fail it, if there is none."""
    if not Path(PROGRAM).exists():
        reason = f"{PROGRAM} is not installed (Debian's apache2-bin)"
        if os.environ.get("GRID_TEST_STORES_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    server = _webdav_server(request.config)
    server.start()
    server.clear()
    return server


@functools.cache
def _s3_server(config: pytest.Config) -> S3Server:
    server = S3Server()
    config.add_cleanup(server.stop)
    return server


@functools.cache
def _webdav_server(config: pytest.Config) -> WebDavServer:
    server = WebDavServer()
    config.add_cleanup(server.close)
    return server
