"""The runtime `wheels`: Snakemake and its dependencies in a folder that is sent to the workers.

The pip of this Python installs them, with the user's own pip settings and cache. The folder
contains no paths of this host, neither in scripts nor in bytecode, so that the same packages
always give the same tarball.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from ..model.errors import PermanentError

PIP_SECONDS = 1800
"""Longest time for one call of pip, in seconds."""
COMPILE_SECONDS = 900
"""Longest time to compile the packages, in seconds."""

_LAYOUT = 1  # part of the key: increase it when `build` changes what a folder contains
_PLUGIN_PREFIX = "snakemake-storage-plugin-"
_MANYLINUX_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_PULP_SOLVERS = ("osx", "win")  # 16 MB of programs that do not run on Linux
# sh reads line 2 as `exec …`; Python reads it as the start of a string that ends in line 3.
_SCRIPT_HEAD = b"#!/bin/sh\n'''exec' \"${GRID_PYTHON:-python3}\" \"$0\" \"$@\"\n' '''\n"
_PYTHON_HEAD = re.compile(rb"#!\S*python\S*[^\n]*\n|#!/bin/sh\n'''exec' [^\n]*\n' '''\n")


class WheelsError(PermanentError):
    """The packages could not be installed; the text says why, and what to do."""


@dataclass(frozen=True)
class WheelsSpec:
    """The packages to install, and the workers they are for.

    Attributes:
        python: Minor version of the workers' Python, such as `3.11`.
        platform: Platform tags of the workers, such as `manylinux_2_28_x86_64`, separated by
            commas; empty for the platform of this host.
        packages: Pinned pip requirements.
    """

    python: str
    platform: str
    packages: tuple[str, ...]


def default_packages(extra: Sequence[str], plugins: Sequence[str]) -> tuple[str, ...]:
    """Return the packages of a worker: Snakemake as on this host, its interfaces and plugins.

    Args:
        extra: Further requirements, used as they are.
        plugins: Names of storage plugins, `s3` or `snakemake-storage-plugin-s3`.

    Raises:
        WheelsError: Snakemake or a named plugin is not installed here.
    """
    names = {"snakemake"}
    names.update(
        p if p.startswith(_PLUGIN_PREFIX) else _PLUGIN_PREFIX + p for p in map(_canonical, plugins)
    )
    names.update(
        name
        for distribution in metadata.distributions()
        if (name := _canonical(distribution.metadata["Name"] or "")).startswith(
            "snakemake-interface-"
        )
    )
    return (*(f"{name}=={_installed(name)}" for name in sorted(names)), *extra)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise WheelsError(
            f"{name} is not installed in {sys.executable}, so its version for the workers is "
            f"unknown. Install it here, or name it with a version in --grid-runtime-packages."
        ) from None


def key(spec: WheelsSpec) -> str:
    """Return the SHA-256 of a spec in hex, which is the name of its folder."""
    content = {
        "layout": _LAYOUT,
        "python": spec.python,
        "platform": _tags(spec) or [sysconfig.get_platform()],
        "packages": sorted(spec.packages),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def build(spec: WheelsSpec, root: Path, *, progress: Callable[[str], None]) -> Path:
    """Install the packages of a spec, unless they are installed already.

    Args:
        spec: The packages and the workers they are for.
        root: Folder with one subfolder for each spec; created if missing.
        progress: Called with one line of text for each step.

    Returns:
        The folder to put on `PYTHONPATH`. It is renamed only when complete.

    Raises:
        WheelsError: pip is missing, failed or took too long.
    """
    folder = root / key(spec)
    if folder.is_dir():
        return folder
    if util.find_spec("pip") is None:
        raise WheelsError(
            f"--grid-runtime wheels needs the package pip in {sys.executable}. Install pip there "
            "or choose another --grid-runtime."
        )
    root.mkdir(parents=True, exist_ok=True)
    python = _interpreter(spec.python)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as scratch:
        made = Path(scratch, "packages")
        names = " ".join(spec.packages)
        progress(f"installing for Python {spec.python} on the workers: {names}")
        if python and not spec.platform:
            _pip(["--python", python, "install", *_install_options(made), *spec.packages])
        else:
            _install_foreign(spec, made, Path(scratch, "wheels"), progress)
        _tidy(made, linux="linux" in (spec.platform or sysconfig.get_platform()))
        _compile(made, python, spec.python, progress)
        try:
            made.rename(folder)
        except OSError:
            # Another process was faster; its folder has the same content.
            if not folder.is_dir():
                raise
    return folder


def _tags(spec: WheelsSpec) -> list[str]:
    return [tag.strip() for tag in spec.platform.split(",") if tag.strip()]


def _platforms(spec: WheelsSpec) -> list[str]:
    """Return the platform tags, with the older manylinux tags that a newer one includes.

    Not every version of pip adds them itself.
    """
    tags = []
    for tag in _tags(spec):
        tags.append(tag)
        if newest := re.fullmatch(r"manylinux_2_(\d+)_(\w+)", tag):
            for minor in range(int(newest[1]), 4, -1):
                tags.append(f"manylinux_2_{minor}_{newest[2]}")
                if minor in _MANYLINUX_NAMES:
                    tags.append(f"{_MANYLINUX_NAMES[minor]}_{newest[2]}")
    return list(dict.fromkeys(tags))


def _interpreter(version: str) -> str:
    """Return this interpreter or one on PATH if it has that minor version, otherwise ""."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        return ""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        # It may be a launcher of a version manager without that Python.
        done = subprocess.run(
            [found, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found if done.returncode == 0 and done.stdout.strip() == version else ""


def _install_options(target: Path) -> list[str]:
    return ["--target", str(target), "--no-compile", "--no-warn-script-location"]


def _install_foreign(
    spec: WheelsSpec, target: Path, wheels: Path, progress: Callable[[str], None]
) -> None:
    """Install for a Python or a platform that this host does not have, from wheels only.

    For packages that are published without a wheel, a wheel is built here. It can be used only if
    it contains no compiled code. pip evaluates conditions such as `python_version < "3.12"` for
    this Python instead of the workers': where that matters, the user has to name the package.
    """
    plan = _pip(
        ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *spec.packages]
    )
    wheels.mkdir()
    for item in json.loads(plan)["install"]:
        if not item["download_info"]["url"].endswith(".whl"):
            pinned = f"{item['metadata']['name']}=={item['metadata']['version']}"
            progress(f"building a wheel of {pinned}, which is published without one")
            _pip(["wheel", "--no-deps", "--wheel-dir", str(wheels), pinned])
    for wheel in wheels.iterdir():
        if not wheel.name.endswith("-none-any.whl"):
            raise WheelsError(
                f"{wheel.name} contains code compiled for this host, and no wheel is published for "
                f"Python {spec.python} on {spec.platform or 'this platform'}. Remove it from "
                "--grid-runtime-packages, or use --grid-runtime container."
            )
    tags = [part for tag in _platforms(spec) for part in ("--platform", tag)]
    _pip(
        [
            "install",
            *_install_options(target),
            *("--python-version", spec.python, "--implementation", "cp", *tags),
            *("--only-binary", ":all:", "--find-links", str(wheels)),
            *spec.packages,
        ]
    )


def _pip(arguments: Sequence[str]) -> str:
    """Run pip and return its output.

    Raises:
        WheelsError: It failed; the text contains its last lines.
    """
    # The user's values of these could contradict --target, or let pip ask questions.
    settings = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WheelsError(
            f"pip needed longer than {PIP_SECONDS} s to install the packages for the workers. "
            "Check the network and pip's settings (pip config list)."
        ) from None
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise WheelsError(
            "pip could not install the packages for the workers:\n"
            f"{last}\n"
            "Check --grid-runtime-packages, --grid-runtime-python, --grid-runtime-platform and "
            "pip's settings (pip config list), or choose another --grid-runtime."
        )
    return done.stdout


def _tidy(folder: Path, *, linux: bool) -> None:
    """Remove files that name this host, and for Linux workers programs of other systems."""
    for name in ("RECORD", "direct_url.json"):
        for path in folder.glob(f"*.dist-info/{name}"):
            path.unlink()
    for path in folder.glob("bin/*"):
        text = path.read_bytes()
        if head := _PYTHON_HEAD.match(text):
            path.write_bytes(_SCRIPT_HEAD + text[head.end() :])
    for system in _PULP_SOLVERS if linux else ():
        shutil.rmtree(folder / "pulp" / "solverdir" / "cbc" / system, ignore_errors=True)


def _compile(folder: Path, python: str, version: str, progress: Callable[[str], None]) -> None:
    """Write the bytecode, which saves each job some seconds of CPU time.

    Files that do not compile (templates, examples) are ignored, as pip does.
    """
    if not python:
        progress(
            f"no python{version} on PATH: the packages are sent without bytecode, and every job "
            "compiles them, which takes some 4 s of CPU time"
        )
        return
    progress("compiling the packages")
    options = ["-q", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(folder)]
    try:
        subprocess.run(
            [python, "-m", "compileall", *options, str(folder)],
            # Sets are written in hash order: a fixed seed makes the bytecode reproducible.
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WheelsError(
            f"compiling the packages for the workers took longer than {COMPILE_SECONDS} s. Try "
            "again when this host is less busy."
        ) from None
