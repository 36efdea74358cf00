"""A submit host with old outputs, and the results of a job that makes them again."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_grid.model.job import JobSpec, Resources
from snakemake_executor_plugin_grid.model.report import load_report
from snakemake_executor_plugin_grid.staging.install import Installed, install_outputs
from snakemake_executor_plugin_grid.staging.paths import Layout
from snakemake_executor_plugin_grid.worker.description import Output
from tests.unit.worker.archive.tarballs import member

ENDED = 1_700_000_000.0


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(name: str, data: bytes = b"", kind: str = "file", **fields: Any) -> dict[str, Any]:
    """Return the entry of a member in a report."""
    member = {"name": name, "kind": kind, "mode": 0o644, "size": 0, "mtime_ns": int(ENDED * 1e9)}
    if kind == "file":
        member |= {"size": len(data), "sha256": sha256(data)}
    return member | fields


@dataclass
class SubmitHost:
    """A submit host with an old output, and the results of a job that makes it again."""

    top: Path

    def __post_init__(self) -> None:
        self.workdir = self.top / "home" / "project"
        self.scratch = self.workdir / ".snakemake" / "grid" / "incoming" / "job-1"
        self.blobs = self.top / "store"
        for folder in (self.scratch, self.blobs, self.workdir / "out", self.workdir / "folder"):
            folder.mkdir(parents=True)
        (self.workdir / "out" / "a.txt").write_text("old")
        (self.workdir / "folder" / "inner.txt").write_text("old")
        (self.workdir / "Snakefile").write_text("rule a:")
        (self.workdir / ".snakemake" / "locks").write_text("lock")
        (self.top / "home" / "other.txt").write_text("of the user")
        self.spec = JobSpec(
            name="job-1",
            rule="a",
            wildcards=(),
            jobid="1",
            attempt=1,
            command="",
            inputs=(),
            shared=frozenset(),
            consumed=frozenset(),
            outputs=(
                Output("work/out/a.txt"),
                Output("work/folder"),
                Output("work/log.txt", "log", required=False),
            ),
            placeholders=(),
            resources=Resources(),
            environment={},
            overrides={},
        )

    def store(self, data: bytes, name: str | None = None) -> str:
        digest = name or sha256(data)
        (self.blobs / digest).write_bytes(data)
        return digest

    def install_outputs(
        self,
        *returned: dict[str, Any],
        undeclared: bool = True,
        ended: float = ENDED,
        compression: str = "none",
    ) -> Installed:
        """Install the entries of a report, each a member with ``blob`` and ``kind``."""
        items = [
            {
                "member": item,
                "kind": item.pop("as_", "output"),
                "blob": item.pop("blob"),
                "raw": item.pop("raw", False),
            }
            for item in returned
        ]
        path = self.scratch / "report.json"
        report = {"name": "job-1", "reason": "success", "times": {"ended": ended}}
        tarballs = {path.name: path.stat().st_size for path in self.blobs.iterdir()}
        sizes = {
            item["blob"]: item["member"]["size"] if item["raw"] else tarballs[item["blob"]] or 10240
            for item in items
        }
        path.write_text(json.dumps(report | {"returned": items, "blobs": sizes}))
        return install_outputs(
            self.spec,
            load_report(path),
            Layout(self.workdir),
            lambda digest: self.blobs / digest,
            self.scratch,
            compression,
            undeclared=undeclared,
        )

    def picture(self) -> dict[str, Any]:
        """Return everything outside of the scratch folder: kind, mode, contents, time."""
        found: dict[str, Any] = {}
        for folder, folders, files in os.walk(self.top):
            if Path(folder) == self.scratch.parent:
                folders.clear()
            for name in [*folders, *files]:
                path = Path(folder, name)
                status = path.lstat()
                what: Any = status.st_mtime_ns
                if path.is_symlink():
                    what = path.readlink()
                elif path.is_file():
                    what = (path.read_bytes(), status.st_mtime_ns)
                elif self.scratch.is_relative_to(path):
                    what = None
                found[str(path)] = (status.st_mode, what)
        return found

    def read(self, name: str) -> str:
        return (self.workdir / name).read_text()


@pytest.fixture
def host(tmp_path: Path) -> SubmitHost:
    return SubmitHost(tmp_path)


OUTPUT = "work/out/a.txt"
NEW = b"new"


GOOD = member(OUTPUT, NEW)
