"""The configuration of a local site."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...worker.description import VERSION

CONFIG_FILE = "site.json"
SOCKET_FILE = "socket"
LOCK_FILE = "lock"
LOG_FILE = "site.log"
DATABASE_FILE = "site.sqlite"
WORKER_FILE = "worker.pyz"
JOBS_FOLDER = "jobs"
CODE_VERSION = f"job.json {VERSION}"
"""Version of this code; a site and its clients must have the same."""
with suppress(PackageNotFoundError):  # it is not installed, but found by PYTHONPATH
    CODE_VERSION += f", release {version(__package__.partition('.')[0].replace('_', '-'))}"
_LONGEST_SOCKET = 100


@dataclass(frozen=True)
class Config:
    """Settings of a site.

    Attributes:
        cores: Processors to give to jobs.
        mem_mb: Memory to give to jobs, in MB.
        python: Interpreter that the workers find.
        warm: Whether workers are forked from a process that has imported Snakemake.
        hidden: Submit directory that jobs must not see; empty to let them.
        kept: Folders below it that they may see.
        start_limit: Seconds in which a worker has to show up.
        environment: Of the workers.
    """

    cores: int
    mem_mb: int
    python: str
    warm: bool
    hidden: str
    kept: tuple[str, ...]
    start_limit: float
    environment: dict[str, str]

    @property
    def digest(self) -> str:
        """Identifies this configuration."""
        return hashlib.sha256(self.dumps().encode()).hexdigest()

    def dumps(self) -> str:
        """Return the configuration as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Config:
        """Read the configuration from JSON text."""
        fields = json.loads(text)
        fields["kept"] = tuple(fields["kept"])
        return cls(**fields)


def site_folder(chosen: Path | None, workdir: Path) -> Path:
    """Return the folder of the site that serves a working directory.

    Args:
        chosen: By ``--grid-local-dir``, None for a folder in the system's temporary folder.
        workdir: Working directory of the workflow.
    """
    mark = hashlib.sha256(os.fsencode(workdir)).hexdigest()[:12]
    if chosen is not None:
        return chosen.absolute() / f"site-{mark}"
    return Path(tempfile.gettempdir()) / f"snakemake-grid-{getpass.getuser()}-{mark}"


def socket_address(folder: Path) -> str:
    """Return the path of a site's socket, short enough for the kernel (108 bytes on Linux)."""
    path = folder / SOCKET_FILE
    if len(os.fsencode(path)) <= _LONGEST_SOCKET or not sys.platform.startswith("linux"):
        return str(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{descriptor}/{SOCKET_FILE}"


def machine_memory_mb() -> int:
    """Return the memory of this machine in MB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6


def machine_cores() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
