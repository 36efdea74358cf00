"""Runs the jobs of a bundle, each in a folder and a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from . import report as reports
from .archive.listing import scan
from .decided.spawn import Children
from .delivery import DATA_SUFFIX, SANDBOX_SUFFIX, Delivery
from .description import (
    DELIVERY_FOLDER,
    ENVIRONMENT_FILE,
    JOB_FILE,
    LOG_FILE,
    REPORT_FILE,
    WORKER_LOG,
    InputDamagedError,
    Job,
)
from .payload import SCRATCH
from .processes import Cancellation, KilledError, die_with_parent, kill_marked
from .removal import remove_tree
from .report import Report

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

_CANCEL_LIST = "cancelled.json"
_TICK = 0.5
"""Seconds between two looks whether the bundle is cancelled, at most."""


class Bundle:
    """The jobs of a bundle: they begin in their order, and some run side by side."""

    def __init__(
        self, job: Job, sandbox: Path, run: Callable[[Path], int], cancellation: Cancellation
    ) -> None:
        """Start nothing yet.

        Args:
            job: Has the jobs.
            sandbox: Folder of the bundle; each job gets a folder below it.
            run: Runs the job of a folder.
            cancellation: Of the bundle.
        """
        self._job = job
        self._sandbox = sandbox
        self._run = run
        self._cancellation = cancellation
        self._environments: dict[str, str] = json.loads((sandbox / ENVIRONMENT_FILE).read_text())
        self._waiting = [dict(member) for member in job.members]
        self._running: dict[int, dict[str, Any]] = {}
        self._children = Children()
        self._cancel_list = job.cancel_list
        self._room = job.deliver_limit
        self._done: list[str] = []

    def run(self, report: Report) -> None:
        """Run all jobs, and write into the report of the bundle how that ended."""
        with contextlib.suppress(KilledError), self._cancellation.at_once():
            self._fetch_shared()
        while self._waiting or self._running:
            if self._cancellation.requested:
                self._waiting.clear()
                for pid in self._running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
            while self._waiting and len(self._running) < self._job.side_by_side:
                self._start(self._waiting.pop(0))
            if self._running and (ended := self._children.wait(_TICK)):
                pid, status = ended
                if pid in self._running:  # otherwise an orphan of a payload
                    self._ended(self._running.pop(pid), status)
        if self._cancellation.requested:
            report.fail(reports.KILLED, "it was killed from outside")
        else:
            report.reason = reports.SUCCESS
        if not self._job.reports_apart:
            self._deliver(report)

    def _fetch_shared(self) -> None:
        """Fetch inputs that several jobs need, and those that the system brought for the bundle."""
        from .fetch import locate
        from .transfer import urls

        users = Counter(
            digest
            for member in self._waiting
            for digest in {blob["digest"] for blob in member["blobs"]}
        )
        for blob in self._job.blobs:
            scheme = blob.url.partition(":")[0]
            if scheme == "lfn" or (scheme in urls.READABLE and users[blob.digest] > 1):
                # Where that fails, each job tries it again and says why.
                with contextlib.suppress(InputDamagedError, OSError):
                    locate(blob, self._sandbox)

    def _start(self, member: dict[str, Any]) -> None:
        name = member["name"]
        folder = self._sandbox / name
        folder.mkdir(mode=0o700)
        if self._is_cancelled(name):
            self._report(member, reports.KILLED, "it was cancelled before it began")
            self._done.append(name)
            return
        if self._cancellation.requested:
            return
        urls = {blob.digest: blob.url for blob in self._job.blobs}
        for blob in member["blobs"]:
            blob["url"] = blob["url"] or urls.get(blob["digest"], "")
        if member["deliver_limit"] is not None and self._room is not None:
            member["deliver_limit"] = min(member["deliver_limit"], max(0, self._room))
        for leaf, text in (
            (JOB_FILE, json.dumps(member)),
            (ENVIRONMENT_FILE, self._environments.get(name, "{}")),
        ):
            (folder / leaf).touch(0o600)
            (folder / leaf).write_text(text)
        for digest in urls:
            _link(self._sandbox / digest, folder / digest)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._work(folder)
        self._running[pid] = member

    def _is_cancelled(self, name: str) -> bool:
        from .transfer import urls
        from .transfer.errors import TransferError

        if not self._cancel_list:
            return False
        path = self._sandbox / _CANCEL_LIST
        try:
            with self._cancellation.at_once():
                urls.get(self._cancel_list, path)
            return name in list(json.loads(path.read_text()))
        except KilledError:
            return False
        except (TransferError, OSError, ValueError, TypeError) as error:
            print(f"Cancelled jobs are not skipped any more: {error}", file=sys.stderr)
            self._cancel_list = ""  # do not let each job wait for a store that is away
            return False

    def _work(self, folder: Path) -> None:
        """Run the job of a folder; does not return."""
        code = 1
        try:
            os.setsid()
            die_with_parent()
            signal.set_wakeup_fd(-1)  # it is that of the bundle
            log = os.open(folder / WORKER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for target in (1, 2):
                os.dup2(log, target)
            os.chdir(folder)
            code = self._run(folder)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _ended(self, member: dict[str, Any], status: int) -> None:
        name = member["name"]
        folder = self._sandbox / name
        remove_tree(folder / SCRATCH)  # of a worker that was killed
        path = folder / REPORT_FILE
        if not path.exists():
            kill_marked(name)
            self._report(member, reports.WORKER_FAILED, f"its worker died (wait status {status})")
        elif member["deliver_limit"] is not None:
            self._judge_room(member, path)
        self._done.append(name)
        for blob in list(folder.iterdir()):
            if blob.suffix == SANDBOX_SUFFIX:
                self._take(blob, self._sandbox / blob.name)
            elif blob.suffix == DATA_SUFFIX:
                blob.replace(self._sandbox / (data_prefix(name) + blob.name))
        if (folder / DELIVERY_FOLDER).is_dir():
            (self._sandbox / DELIVERY_FOLDER).mkdir(exist_ok=True)
            for blob in list((folder / DELIVERY_FOLDER).iterdir()):
                self._take(blob, self._sandbox / DELIVERY_FOLDER / blob.name)
        for digest in (blob.digest for blob in self._job.blobs):
            (folder / digest).unlink(missing_ok=True)

    def _report(self, member: dict[str, Any], reason: str, message: str) -> None:
        """Write and send the report of a job that has no worker."""
        from .transfer import urls
        from .transfer.errors import TransferError

        path = self._sandbox / member["name"] / REPORT_FILE
        report = Report.start(member["name"])
        report.fail(reason, message)
        report.begin("ended")
        report.write(path)
        if member["report_to"]:
            with contextlib.suppress(TransferError, OSError):
                urls.put(path, member["report_to"], REPORT_FILE)

    def _judge_room(self, member: dict[str, Any], path: Path) -> None:
        """Let the run send a job again whose outputs would have had room without the others."""
        fields = json.loads(path.read_text())
        less = member["deliver_limit"] < (self._job.deliver_limit or 0)
        if less and fields["reason"] == reports.OUTPUT_TOO_LARGE:
            fields["reason"] = reports.OUTPUT_NOT_STORED
            fields["message"] += "; other jobs of its bundle have taken their part of that"
            path.write_text(json.dumps(fields))

    def _take(self, blob: Path, target: Path) -> None:
        if self._room is not None and not target.exists():
            self._room -= blob.stat().st_size
        blob.replace(target)

    def _deliver(self, report: Report) -> None:
        """Pack reports and logs of all jobs as if they were outputs of the bundle."""
        items = []
        for name in self._done:
            for leaf in (REPORT_FILE, LOG_FILE, WORKER_LOG):
                path = self._sandbox / name / leaf
                if path.exists():
                    found = scan(path, f"work/{name}/{leaf}", report.left_out)
                    items += [(entry, "output") for entry in found]
        delivery = Delivery.of(self._job, self._sandbox, success=False)
        delivery.write(self._job, items, report)


def data_prefix(job: str) -> str:
    """Return how the names of the files begin that a job of a bundle leaves for DIRAC's upload."""
    return f"{job}."


def _link(source: Path, target: Path) -> None:
    """Make a file available in another folder, if it exists; nobody changes it there."""
    if source.is_file():
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
