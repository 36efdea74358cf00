"""Command line: start a server, show its state, stop it. See README.md."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from tests.servers.dirac import settings

from .server import UNSET, DiracServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.dirac")
    parser.add_argument("command", choices=("up", "env", "status", "down", "remove"))
    parser.add_argument("--dir", type=Path, default=Path(".dirac-server"), help="the folder")
    parser.add_argument("--user", default="ciuser", help="for env: whose client")
    new = parser.add_argument_group("for a new server")
    new.add_argument("--venv", type=Path, default=Path(".venv-dirac"), help="with DIRAC[server]")
    new.add_argument(
        "--worker-path",
        type=Path,
        help="the folder first in the PATH of jobs (default: a Python without packages)",
    )
    new.add_argument("--https", action="store_true", help="most services by HTTPS")
    new.add_argument("--agents", type=int, default=1, help="sites with a worker, 1 or 2")
    new.add_argument("--slots", type=int, default=4, help="processors of each worker")
    new.add_argument("--max-parametric-jobs", type=int, default=100)
    options = parser.parse_args()

    if settings.exist(options.dir):
        server = DiracServer.load(options.dir)
    elif options.command == "up":
        server = DiracServer.create(
            options.dir,
            options.venv,
            options.worker_path,
            https=options.https,
            agents=options.agents,
            slots=options.slots,
            max_parametric_jobs=options.max_parametric_jobs,
        )
    else:
        sys.exit(f"No server in {options.dir}")
    match options.command:
        case "up":
            begun = time.monotonic()
            server.up(lambda text: print(f"{time.monotonic() - begun:5.1f} s  {text}", flush=True))
        case "env":
            print_environment(server, options.user)
        case "status":
            for name, count in server.status().items():
                print(f"{name:12} {count or 'not running'}")
        case "down":
            server.down()
        case "remove":
            server.remove()


def print_environment(server: DiracServer, user: str) -> None:
    """Print the shell commands that make a shell a client."""
    for name, value in server.environment(user).items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PATH=$PATH:{shlex.quote(str(server.settings.venv / 'bin'))}")
    print(f"unset {' '.join(UNSET)}")


if __name__ == "__main__":
    main()
