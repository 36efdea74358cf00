"""Command line: start a server, show its state, stop it. See README.md."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from tests.servers.rucio import settings

from .server import UNSET, RucioServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.rucio")
    commands = ("up", "env", "status", "expire", "down", "remove")
    parser.add_argument("command", choices=commands)
    parser.add_argument("--dir", type=Path, default=Path(".rucio-server"), help="the folder")
    parser.add_argument("--account", default=settings.ACCOUNT, help="for env: whose client")
    parser.add_argument(
        "--venv", type=Path, default=Path(".venv-rucio"), help="for a new server: with Rucio"
    )
    options = parser.parse_args()

    if settings.exist(options.dir):
        server = RucioServer.load(options.dir)
    elif options.command == "up":
        server = RucioServer.create(options.dir, options.venv)
    else:
        sys.exit(f"No server in {options.dir}")
    match options.command:
        case "up":
            begun = time.monotonic()
            server.up(lambda text: print(f"{time.monotonic() - begun:5.1f} s  {text}", flush=True))
        case "env":
            for name, value in server.environment(options.account).items():
                print(f"export {name}={shlex.quote(value)}")
            print(f"export PATH=$PATH:{shlex.quote(str(server.settings.venv / 'bin'))}")
            print(f"unset {' '.join(UNSET)}")
        case "status":
            for name, count in server.status().items():
                print(f"{name:12} {count or 'not running'}")
        case "expire":
            server.expire()
        case "down":
            server.down()
        case "remove":
            server.remove()


if __name__ == "__main__":
    main()
