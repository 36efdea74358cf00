"""Install what the server needs: a virtual environment with Rucio's server and client.

Run as ``python -m tests.servers.rucio.install [VENV]`` with the Python that the environment shall
have. Where everything is there it returns at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

VERSION = "41.5.1"
REQUIREMENTS = (f"rucio=={VERSION}", f"rucio-clients=={VERSION}", "gunicorn>=23")


def main() -> None:
    venv, *_ = (*sys.argv[1:], ".venv-rucio")
    install_venv(Path(venv).absolute())


def install_venv(venv: Path) -> None:
    """Make the virtual environment, unless it has been made for this version."""
    stamp = venv / f".rucio-{VERSION}"
    if stamp.exists():
        return
    print(f"Installing Rucio {VERSION} into {venv}: that takes half a minute.", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    _run([*pip, "install", *REQUIREMENTS])
    stamp.touch()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")


if __name__ == "__main__":
    main()
