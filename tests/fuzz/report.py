"""Feeds damaged and hostile reports to the submit host; looks for what it must not do.

    python -m tests.fuzz.report --minutes 60

A report is either refused by the one error of the parser, or what it names stays in its folder and
the installation ends, or fails by the errors that a job may cause. Nothing is written outside of
the submit host's own folder, and nothing there but outputs.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from snakemake_executor_plugin_grid.console.failure_message import reason_of
from snakemake_executor_plugin_grid.console.job_logs import JobLogs
from snakemake_executor_plugin_grid.model.report import for_journal, parse_report
from snakemake_executor_plugin_grid.model.untrusted import UntrustedError, path_below
from snakemake_executor_plugin_grid.reporting.measured import measured
from snakemake_executor_plugin_grid.staging.install import OutputDamagedError, install_outputs
from snakemake_executor_plugin_grid.staging.paths import Layout, OutsideError, climb
from snakemake_executor_plugin_grid.worker.report import Report
from tests.unit.staging.submit_host import ENDED, SubmitHost, entry, sha256
from tests.unit.worker.archive.tarballs import link, member, tar_bytes

from .mutation import changed, text

_DISK = (errno.ENOSPC, errno.EDQUOT)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"),
    *("os.chmod", "os.chown", "os.utime", "shutil.rmtree"),
}
_TARBALL = tar_bytes(
    member("work/out/a.txt", b"new"),
    member("work/folder", type=tarfile.DIRTYPE, mode=0o755),
    member("work/folder/other.txt", b"x"),
    link("work/folder/link", "other.txt"),
    member("work/new.txt", b"undeclared"),
)
_LARGE = b"large log"


class ViolationError(AssertionError):
    """The submit host has done something that it must not do."""


class Target:
    """A submit host in a folder, to which reports are fed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watching = False
        self._touched = False
        self._outside: list[str] = []
        self._make()
        sys.addaudithook(self._audit)

    def try_report(self, data: bytes) -> str:
        """Read a report and install what it names.

        Returns:
            What has become of it.

        Raises:
            ViolationError: Something went wrong that must not.
        """
        self._outside.clear()
        self._touched, self._watching = False, True
        try:
            outcome = self._try(data)
        finally:
            self._watching = False
        if self._outside:
            raise ViolationError(f"touched {self._outside}")
        if self._touched and self._host.picture() != self._before:
            if outcome != "installed":
                raise ViolationError(f"{outcome}, but files have changed")
            self._check_changes()
            self._make()
        return outcome

    def _make(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._host = SubmitHost(self._folder)
        self._host.store(_TARBALL)
        self._host.store(_LARGE)
        self._before = self._host.picture()

    def _try(self, data: bytes) -> str:
        try:
            report = parse_report(data)
        except UntrustedError as error:
            return self._told(str(error), "refused")
        if parse_report(data) != report:
            raise ViolationError("read differently the second time")
        self._use(report)
        host = self._host
        try:
            install_outputs(
                host.spec,
                report,
                Layout(host.workdir),
                lambda digest: path_below(host.blobs, digest),
                host.scratch,
                "none",
                undeclared=True,
            )
        except OutputDamagedError as error:
            return self._told(str(error), "damaged")
        except FileNotFoundError as error:
            if Path(error.filename).parent != host.blobs:  # a blob that was never delivered
                raise
            return "not delivered"
        except OSError as error:
            if error.errno not in _DISK:
                raise
            return "disk full"
        return "installed"

    def _use(self, report: Report) -> None:
        """Do what the engine and the commands do with a report."""
        layout = Layout(self._host.workdir)
        for item in report.returned:
            top = item.member.name.partition("/")[0]
            try:
                path = layout.local(item.member.name)
            except OutsideError:
                continue  # the installation refuses it
            levels = [self._host.workdir, *self._host.workdir.parents]
            if ".." in path.parts or not path.is_relative_to(levels[climb(top)]):
                raise ViolationError(f"{item.member.name!r} became {path}")
        for digest in [*report.blobs, *(item.blob for item in report.returned)]:
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ViolationError(f"{digest!r} is taken for a digest")
        noted = json.loads(json.dumps(for_journal(report), allow_nan=False))
        measured(noted)
        self._told(reason_of(report, self._host.workdir, JobLogs(), lambda _: ""), "")

    def _told(self, words: str, outcome: str) -> str:
        for sign in ("unsupported operand", "recursion", "Traceback", "NoneType", "object is not"):
            if sign in words:
                raise ViolationError(f"the user reads: {words[:500]}")
        if not words.replace("\n", "").isprintable() or len(words) > 20_000:
            raise ViolationError(f"the terminal gets: {words[:500]!r}")
        return outcome

    def _check_changes(self) -> None:
        """Make sure that only outputs were replaced, and other files only added."""
        workdir = self._host.workdir
        outputs = [workdir / output.name.partition("/")[2] for output in self._host.spec.outputs]
        old, new = self._before, self._host.picture()
        for name in old.keys() | new.keys():
            path = Path(name)
            if any(path.is_relative_to(output) for output in outputs):
                continue
            if name not in old:
                parts = path.relative_to(workdir).parts  # raises an error if it is elsewhere
                if parts[0] in (".snakemake", ".git"):
                    raise ViolationError(f"{name} was added")
            elif name not in new or (old[name] != new[name] and not path.is_dir()):
                raise ViolationError(f"{name} was changed")

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._watching:
            return
        if event == "open":
            path, _, flags = args
            paths = [path] if flags & _WRITING else []
        elif event in _EVENTS:
            # Those relative to a descriptor come from `rmtree`, which has its own event.
            paths = [] if any(type(arg) is int and arg > 2 for arg in args[-1:]) else list(args[:2])
        else:
            return
        self._touched |= bool(paths)
        self._outside += [
            f"{event} {path!r}"
            for path in paths
            if isinstance(path, str | bytes | os.PathLike)
            and Path(os.fsdecode(path)).is_absolute()
            and not Path(os.path.normpath(os.fsdecode(path))).is_relative_to(self._folder)
        ]


def genuine() -> dict[str, Any]:
    """Return a good report about what `Target` has in its store."""
    tarball, large = sha256(_TARBALL), sha256(_LARGE)
    members = [
        (entry("work/out/a.txt", b"new"), "output", tarball, False),
        (entry("work/folder", kind="dir", mode=0o755), "output", tarball, False),
        (entry("work/folder/other.txt", b"x"), "output", tarball, False),
        (entry("work/folder/link", kind="link", target="other.txt"), "output", tarball, False),
        (entry("work/new.txt", b"undeclared"), "undeclared", tarball, False),
        (entry("work/log.txt", _LARGE), "log", large, True),
    ]
    steps = ("received", "staging in", "running", "staging out", "ended")
    return {
        "name": "job-1",
        "reason": "success",
        "message": "",
        "exit_code": 0,
        "signal": 0,
        "host": "node1",
        "site": "SITE",
        "wms_id": "12",
        "python": "3.11.2",
        "times": {step: ENDED - 10 + number for number, step in enumerate(steps)},
        "cpu_seconds": 1.5,
        "peak_memory_mb": 100.0,
        "bytes_in": 10,
        "bytes_out": 20,
        "returned": [
            {"member": found, "kind": kind, "blob": blob, "raw": raw}
            for found, kind, blob, raw in members
        ],
        "missing": [],
        "undeclared": ["work/new.txt"],
        "undeclared_count": 1,
        "left_out": ["work/x: a link to /x"],
        "blobs": {tarball: len(_TARBALL), large: len(_LARGE)},
    }


def small() -> dict[str, Any]:
    """Return a good report of one large file, in which a change hits something that counts."""
    full = genuine()
    returned = full["returned"][-1:]
    kept = {key: full[key] for key in ("name", "reason", "times", "blobs")}
    kept["blobs"] = {returned[0]["blob"]: len(_LARGE)}
    return {**kept, "returned": returned}


def hostile(random: Random) -> bytes:
    """Return a good report with a few changes, or random bytes."""
    if random.random() < 0.02:
        return random.randbytes(random.randrange(200))
    value = random.choice((genuine, small))()
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        value = changed(value, random)
    return text(value, random)


def main() -> int:
    """Run for some time; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    random = Random(options.seed)  # noqa: S311 - a fuzzer
    outcomes: Counter[str] = Counter()
    findings: dict[str, bytes] = {}
    until, told = time.monotonic() + options.minutes * 60, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="grid-fuzz-") as folder:
        target = Target(Path(folder).resolve() / "host")
        while time.monotonic() < until:
            data = hostile(random)
            try:
                outcomes[target.try_report(data)] += 1
            except Exception as error:
                outcomes["finding"] += 1
                kind = f"{type(error).__name__}: {error}"[:300]
                if findings.setdefault(kind, data) is data:
                    print(f"FINDING {kind}\n    {data[:2000]!r}", flush=True)
                target = Target(Path(folder).resolve() / f"host-{len(findings)}")
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{outcomes.total()} reports: {dict(outcomes)}", flush=True)
    print(f"ended: {outcomes.total()} reports: {dict(outcomes)}, {len(findings)} kinds of findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
