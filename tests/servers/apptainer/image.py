"""A small image: bash, some programs and the Python of the tests, with the libraries they load.

Libraries and the loader are in /usr/lib, which the loader searches by default; Python is in /usr,
where it finds its standard library without a variable. Files are hard links where they can be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

PROGRAMS = (
    *("bash", "sh", "basename", "cat", "chmod", "cp", "cut", "date", "dirname", "echo", "env"),
    *("false", "grep", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "printf", "pwd"),
    *("readlink", "rm", "rmdir", "sed", "seq", "sleep", "sort", "stat", "tail", "tee", "test"),
    *("touch", "tr", "true", "uname", "wc"),
)
NAME_FILE = "etc/grid-image"
"""Only images have it; it contains `NAME`."""
NAME = "image of the tests"
_NOT_NEEDED = frozenset(
    {"dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test"}
    | {"tests", "tkinter", "turtledemo"}
)
_OF_WHEELS = (
    *("libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libresolv.so.2"),
    *("librt.so.1", "libstdc++.so.6", "libutil.so.1"),
)
"""Wheels may need them (PEP 513): tests bind a folder with packages into the container."""
_BALLAST = re.compile(r"^config-|\.opt-\d\.pyc$|^_tkinter\.|^_test|^_ctypes_test\.")
_ENVIRONMENT = {
    "10-docker2singularity.sh": """\
export PATH="/opt/image/bin:/usr/local/bin:/usr/bin:/bin"
export OF_IMAGE="${OF_IMAGE:-"set by the image"}"
""",
    "99-base.sh": """\
export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-/.singularity.d/libs}"
""",
}
_LIBRARY = re.compile(rb"^\s*(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def make_image(root: Path) -> None:
    """Fill a folder that does not exist yet.

    Raises:
        RuntimeError: The node has not what the image needs.
    """
    for name in ("usr/bin", "usr/lib", "opt/image/bin", "etc", ".singularity.d/env"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to("usr/lib" if name.startswith("lib") else "usr/bin")
    (root / "usr/lib64").symlink_to("lib")
    (root / NAME_FILE).write_text(f"{NAME}\n")
    (root / "etc/passwd").write_text("nobody:x:65534:65534::/nonexistent:/bin/sh\n")
    (root / "opt/image/bin/of-image").write_text("#!/bin/sh\ncat /etc/grid-image\n")
    (root / "opt/image/bin/of-image").chmod(0o755)
    for name, text in _ENVIRONMENT.items():
        (root / ".singularity.d/env" / name).write_text(text)
    binaries = [_add(_which(name), root / "usr/bin" / name) for name in PROGRAMS]
    binaries += _add_python(root)
    libraries = _libraries(binaries)
    libc = next(library for library in libraries if library.name.startswith("libc.so."))
    libraries |= {libc.with_name(name) for name in _OF_WHEELS if libc.with_name(name).exists()}
    for library in libraries:
        _add(library, root / "usr/lib" / library.name)


def _add_python(root: Path) -> list[Path]:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = Path(sys.executable).resolve()
    binaries = [_add(python, root / "usr/bin" / version)]
    for name in ("python3", "python"):
        (root / "usr/bin" / name).symlink_to(version)
    library = Path(sysconfig.get_path("stdlib"))
    target = root / "usr/lib" / version

    def ignored(_: str, names: list[str]) -> set[str]:
        return {name for name in names if name in _NOT_NEEDED or _BALLAST.search(name)}

    shutil.copytree(library, target, ignore=ignored, copy_function=_add)
    extensions = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload")
    if not (target / "lib-dynload").exists() and extensions.is_dir():  # they may be elsewhere
        shutil.copytree(extensions, target / "lib-dynload", ignore=ignored, copy_function=_add)
    return [*binaries, *target.glob("lib-dynload/*.so")]


def _which(name: str) -> Path:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(f"no image: {name} is not on PATH")
    return Path(path).resolve()


def _add(source: str | Path, target: str | Path) -> Path:
    """Link a file, or copy it where that is not possible or not allowed."""
    target = Path(target)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    done = subprocess.run(
        ["ldd", *map(str, binaries)],
        capture_output=True,
        check=False,  # it fails for what is linked statically
        env={**os.environ, "LC_ALL": "C"},
    )
    missing = re.findall(rb"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if missing:
        raise RuntimeError(f"no image: ldd does not find {sorted(set(missing))}")
    return {Path(os.fsdecode(path)) for path in _LIBRARY.findall(done.stdout)}
