"""Install what the server needs: packages of the operating system, and a virtual environment.

Run as ``python -m tests.servers.dirac.install [VENV [VERSION]]`` with the Python, 3.11 or newer,
that the environment shall have. Where everything is there it returns at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

VERSION = "9.1.22"
"""Of DIRAC, if none is asked for."""
# Required programs and files, with the Debian package of each.
_PACKAGES = {
    "mariadbd": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "mariadb_config": "libmariadb-dev",
    "cc": "gcc",
    "swig": "swig",
    "pkg-config": "pkg-config",
    "openssl": "openssl",
}
# Needs newer libraries of the operating system than Debian 12 has. DIRAC uses it for storage
# elements of other kinds than here, so an empty package in its place is enough.
_LEFT_OUT = "gfal2_python"


def main() -> None:
    venv, version, *_ = (*sys.argv[1:], *(".venv-dirac", VERSION)[len(sys.argv[1:]) :])
    install_packages()
    install_venv(Path(venv).absolute(), version)


def install_packages() -> None:
    """Install the missing packages of the operating system."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = {
        package for program, package in _PACKAGES.items() if not shutil.which(program, path=path)
    }
    if not Path("/usr/include/openssl/ssl.h").exists():
        missing.add("libssl-dev")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.add("python3-dev")
    if not missing:
        return
    names = sorted(missing)
    if not shutil.which("apt-get"):
        sys.exit(f"Please install what is in these Debian packages: {' '.join(names)}")
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    quiet = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    _run([*root, *quiet, "update"])
    _run(
        [
            *(*root, "env", "DEBIAN_FRONTEND=noninteractive", *quiet),
            *("install", "-y", "--no-install-recommends", *names),
        ]
    )


def install_venv(venv: Path, version: str) -> None:
    """Make the virtual environment, unless it has been made for this version."""
    requirement = f"DIRAC[server]=={version}"
    stamp = venv / f".{requirement}"
    if stamp.exists():
        return
    print(f"Installing {requirement} into {venv}: that takes a minute or two.", flush=True)
    # A job wrapper runs the target of a symbolic link, which does not know the environment.
    _run([sys.executable, "-m", "venv", "--clear", "--copies", str(venv)])
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
    with tempfile.TemporaryDirectory() as folder:
        _run([*pip, "install", str(make_empty_wheel(Path(folder))), requirement])
    stamp.touch()


def make_empty_wheel(folder: Path) -> Path:
    """Make an empty package."""
    wheel = folder / f"{_LEFT_OUT}-99-py3-none-any.whl"
    information = f"{_LEFT_OUT}-99.dist-info"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {_LEFT_OUT}\nVersion: 99\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{information}/{name},,\n" for name in (*files, "RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in {**files, "RECORD": record}.items():
            archive.writestr(f"{information}/{name}", content)
    return wheel


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed")


if __name__ == "__main__":
    main()
