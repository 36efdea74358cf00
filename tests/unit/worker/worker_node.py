"""A worker node: a sandbox folder, a store, and the worker program."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging.worker_zip import write_worker
from snakemake_executor_plugin_grid.worker import report as reports
from snakemake_executor_plugin_grid.worker.archive.listing import scan
from snakemake_executor_plugin_grid.worker.archive.pack import pack
from snakemake_executor_plugin_grid.worker.description import Blob, Job
from snakemake_executor_plugin_grid.worker.report import Report
from snakemake_executor_plugin_grid.worker.runtime import Runtime


def oldest_python() -> str | None:
    """Return a Python 3.9 that runs, the oldest one that a worker node may have."""
    installed = Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9")
    for python in filter(None, [shutil.which("python3.9"), *map(str, installed)]):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


OLDEST = oldest_python()
both_pythons = pytest.mark.parametrize(
    "python",
    [
        sys.executable,
        pytest.param(
            OLDEST, marks=pytest.mark.skipif(OLDEST is None, reason="no python3.9 on PATH")
        ),
    ],
    ids=["this python", "python3.9"],
)


@dataclass
class Node:
    """A worker node: a sandbox folder and a store."""

    top: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)
    site: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.sandbox = self.top / "sandbox"
        self.store = self.top / "store"
        self.outside = self.top / "outside"
        for folder in (self.sandbox, self.store, self.outside):
            folder.mkdir(exist_ok=True)
        write_worker(self.top / "worker.pyz")
        self.job = Job(
            # Not the name of a job in another process of pytest: processes are killed by it.
            name=f"job-{self.top.parent.name}-{self.top.name}",
            command="true",
            nesting=(),
            blobs=(),
            outputs=(),
            runtime=Runtime("inherit"),
        )

    def change(self, **fields: object) -> None:
        self.job = replace(self.job, **fields)  # type: ignore[arg-type]

    def raw(self, name: str, data: bytes) -> Blob:
        """Store a file; return the blob that asks for it."""
        digest = hashlib.sha256(data).hexdigest()
        (self.store / digest).write_bytes(data)
        url = (self.store / digest).as_uri()
        return Blob(digest, len(data), url, kind="raw", name=name)

    def tar(self, **files: str) -> Blob:
        """Store a tarball of files below ``work``."""
        folder = self.top / "packed"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        packed = pack(scan(folder, "work"), self.top / "new.tar")
        (self.top / "new.tar").rename(self.store / packed.digest)
        return Blob(packed.digest, packed.size, (self.store / packed.digest).as_uri())

    def start(self) -> subprocess.Popen[str]:
        (self.sandbox / "job.json").write_text(self.job.dumps())
        (self.sandbox / "environment.json").write_text(json.dumps(self.environment))
        return subprocess.Popen(
            [self.python, *self.options, str(self.top / "worker.pyz"), str(self.sandbox)],
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **self.site},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, timeout: float = 30) -> Report:
        """Run the worker to its end; return its report."""
        process = self.start()
        output, _ = process.communicate(timeout=timeout)
        assert output == ""
        report = load_report(self.sandbox / "report.json")
        assert process.returncode == (report.reason != reports.SUCCESS)
        assert not (self.sandbox / "scratch").exists()
        assert not self.left()
        return report

    @property
    def log(self) -> str:
        return (self.sandbox / "payload.log").read_text()

    def left(self) -> list[int]:
        """Return the processes of the job that still run."""
        mark = f"SNAKEMAKE_GRID_JOB={self.job.name}".encode()
        return [pid for pid in processes() if mark in environment_of(pid)]

    def wait_for(self, condition: Callable[[], object], seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come about in time"
            time.sleep(0.02)


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for pid in node.left():
        os.kill(pid, signal.SIGKILL)
