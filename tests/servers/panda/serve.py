"""The process of a server: ``python -m tests.servers.panda.serve FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from tests.servers.panda import settings

from .app import make_app
from .settings import HOST


def main() -> None:
    its_settings = settings.load(Path(sys.argv[1]))
    uvicorn.run(
        make_app(its_settings),
        host=HOST,
        port=its_settings.port,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
