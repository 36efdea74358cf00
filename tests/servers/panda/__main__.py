"""Command line: start a server, show its state, stop it. See README.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tests.servers.panda import settings

from .server import UNSET, PandaServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.panda")
    parser.add_argument("command", choices=("up", "env", "status", "down", "remove"))
    parser.add_argument("--dir", type=Path, default=Path(".panda-server"), help="the folder")
    parser.add_argument("--user", default="Alice Test", help="for env: whose client")
    parser.add_argument("--production", action="store_true", help="for env: in that role")
    new = parser.add_argument_group("for a new server")
    new.add_argument(
        "--worker-path",
        type=Path,
        help="the folder first in the PATH of payloads (default: a Python without packages)",
    )
    new.add_argument("--site", action="append", help="name of a site, several times for several")
    new.add_argument("--slots", type=int, default=4, help="cores of each site")
    new.add_argument("--isolate", action="store_true", help="payloads with mounts of their own")
    new.add_argument("--idds", help="module:Class of an iDDS relay")
    options = parser.parse_args()

    if settings.exist(options.dir):
        server = PandaServer.load(options.dir)
    elif options.command == "up":
        server = PandaServer.create(
            options.dir,
            options.worker_path,
            sites=options.site or settings.SITES,
            slots=options.slots,
            isolate=options.isolate,
            idds=options.idds,
        )
    else:
        sys.exit(f"No server in {options.dir}")
    match options.command:
        case "up":
            server.start()
            print(server.url)
        case "env":
            environment = server.environment(options.user, production=options.production)
            for name, value in environment.items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"unset {' '.join(UNSET)}")
        case "status":
            for name, count in server.status().items():
                print(f"{name:12} {count or 'not running'}")
        case "down":
            server.down()
        case "remove":
            server.remove()


if __name__ == "__main__":
    main()
