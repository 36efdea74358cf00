"""Runs a job on the worker node: unpack, run, pack, report."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from . import processes, stageout
from . import report as reports
from .decided.place import RUNTIME
from .decided.result import Result, not_created, read_result
from .description import (
    ENVIRONMENT_FILE,
    JOB_FILE,
    LOG_FILE,
    REPORT_FILE,
    STARTED_FILE,
    FolderError,
    InputDamagedError,
    Job,
    Output,
    load,
)
from .environment import STORE_TOKEN
from .log import tail, trim
from .payload import SCRATCH, TREE, Entry, starter, was_reached
from .payload_script import MODULES_MISSING, PYTHON_MISSING, SETUP_FAILED
from .processes import Cancellation, Ended, KilledError
from .removal import remove_tree
from .report import Report
from .runtime import RuntimeMissing
from .stagein import stage_in
from .transfer.errors import TransferError
from .tree import Tree

_RESERVE = 256 << 10
_SHELL_SAYS_KILLED = 128 + signal.SIGKILL
_FULL = 1 << 20
_BY_FULL_DISK = (reports.PAYLOAD_FAILED, reports.OUTPUT_MISSING)
"""Reasons that a full disk may have caused."""
_MISSED = b"MissingOutputException"
_KILLED = "it was killed from outside"


def read_job(sandbox: Path) -> Job:
    """Read the ``job.json`` of a folder."""
    return load(sandbox / JOB_FILE)


def run_job(
    sandbox: Path,
    entry: Entry | None = None,
    *,
    name: str = "",
    read: Callable[[Path], Job] = read_job,
) -> int:
    """Run the job of a folder with a ``job.json``, and write ``report.json`` there.

    Args:
        sandbox: The folder; the job stays below it.
        entry: Runs Snakemake in a fork of this process, if Snakemake is imported.
        name: Unique name of the job, if known beforehand; then an unreadable job also leaves a
            report.
        read: Reads the job from the folder.

    Returns:
        0 if the job succeeded, `report.NO_REPORT` if the job cannot be read or its report cannot
        be delivered, 1 otherwise.
    """
    sandbox = sandbox.resolve()
    cancellation = Cancellation()
    processes.adopt_orphans()
    if not _is_first(sandbox):
        sys.stderr.write("Another worker has already started this job.\n")
        return 1
    reserve = _reserve(sandbox)
    report = Report.start(name)
    scratch = sandbox / SCRATCH
    job = None
    try:
        job = read(sandbox)
        report.name = job.name
        if job.members:
            _run_bundle(job, sandbox, report, cancellation, entry)
        else:
            _run(job, sandbox, scratch, report, cancellation, entry)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Before the payload has run, another node may have more room.
            reason = reports.OUT_OF_DISK if "running" in report.times else reports.NO_ROOM
            report.fail(reason, f"the disk of the worker node is full: {error}")
        else:
            report.fail(reports.WORKER_FAILED, f"{type(error).__name__}: {error}")
    except FolderError as error:
        report.fail(reports.WORKER_FAILED, str(error))
    except Exception as error:
        report.fail(reports.WORKER_FAILED, f"{type(error).__name__}: {error}")
    finally:
        remove_tree(scratch)
        if reserve is not None:
            reserve.unlink(missing_ok=True)
        if job is not None and job.log_limit is not None:
            with contextlib.suppress(OSError):
                trim(sandbox / LOG_FILE, job.log_limit)
        report.begin("ended")
        if report.name:
            report.write(sandbox / REPORT_FILE)
    if job is None:
        sys.stderr.write(f"The job cannot be read. {report.message}\n")
        return reports.NO_REPORT
    if job.report_to and not _send_report(job, sandbox):
        return reports.NO_REPORT
    return 0 if report.reason == reports.SUCCESS else 1


def _run_bundle(
    job: Job, sandbox: Path, report: Report, cancellation: Cancellation, entry: Entry | None
) -> None:
    from .bundle import Bundle

    report.begin("running")
    _take_store_token(sandbox)
    Bundle(job, sandbox, lambda folder: run_job(folder, entry), cancellation).run(report)


def _run(
    job: Job,
    sandbox: Path,
    scratch: Path,
    report: Report,
    cancellation: Cancellation,
    entry: Entry | None,
) -> None:
    report.begin("staging in")
    _take_store_token(sandbox)
    scratch.mkdir()
    tree = Tree(scratch / TREE, job.nesting)
    runtime_folder = scratch / RUNTIME
    try:
        with cancellation.at_once():
            staged, report.bytes_in = stage_in(job, sandbox, tree, runtime_folder)
            if job.grid_inputs:
                from .grid_files.stagein import fetch

                report.grid_in = fetch(job.grid_inputs, sandbox, scratch, tree)
    except KilledError:
        report.fail(reports.KILLED, _KILLED)
        return
    except InputDamagedError as error:
        report.fail(reports.INPUT_DAMAGED, str(error))
        return
    report.begin("running")
    try:
        start = starter(job, sandbox, scratch, tree, entry)
    except RuntimeMissing as error:
        report.fail(reports.NO_RUNTIME, str(error))
        return
    try:
        ended = processes.run(start, job.name, job.time_limit, cancellation)
    except FileNotFoundError as error:
        message = f"the worker node has no {error.filename}; see --grid-runtime"
        report.fail(reports.NO_RUNTIME, message)
        return
    report.begin("staging out")
    result = read_result(scratch) if job.decision is not None else None
    _judge(job, report, ended, scratch, result)
    # The checks of the outputs come before; Snakemake's fail if one is missing.
    missed = report.reason == reports.OUTPUT_MISSING or (
        report.reason == reports.PAYLOAD_FAILED
        and job.decision is None
        and _MISSED in tail(sandbox / LOG_FILE)
    )
    if report.reason == reports.SUCCESS or missed:
        report.missing = stageout.missing_outputs(job, tree)
        if report.missing:
            names = [name.partition("/")[2] for name in report.missing]
            if report.reason != reports.OUTPUT_MISSING:
                report.reason = reports.OUTPUT_MISSING
                report.message = not_created(names)
    if report.reason == reports.SUCCESS and (special := stageout.special_outputs(job, tree)):
        report.reason = reports.OUTPUT_MISSING
        report.message = (
            f"only files, folders and links can leave the worker node, but not {'; '.join(special)}"
        )
    if report.reason == reports.SUCCESS and job.grid_outputs:
        from .grid_files.stageout import store

        try:
            with cancellation.at_once():
                store(job.grid_outputs, scratch, tree, report)
        except KilledError:
            report.fail(reports.KILLED, f"{_KILLED} when it stored its outputs on the grid")
    complete = report.reason == reports.SUCCESS or job.keep_incomplete
    unwanted = {"staying", "grid"} if complete else {"staying", "grid", "output"}
    selected = [output for output in job.outputs if output.kind not in unwanted]
    if tree.placeholders:
        from .placeholders import left_placeholders

        staged |= left_placeholders(tree)
    new = stageout.undeclared(tree, staged, job.outputs)
    report.list_undeclared(new)
    if job.fetch_undeclared and complete:
        selected += [
            Output(name, "undeclared", required=False) for name in new if stageout.may_return(name)
        ]
    if report.reason == reports.OUT_OF_DISK:
        _make_room([tree.path(output.name) for output in job.outputs if output not in selected])
    stageout.stage_out(job, sandbox, tree, staged, selected, report)


def _take_store_token(sandbox: Path) -> None:
    """Use the token that came with the job for the store; the payload does not get it."""
    path = sandbox / ENVIRONMENT_FILE
    declared = json.loads(path.read_text())
    token = declared.pop(STORE_TOKEN, "")
    if token:
        os.environ["BEARER_TOKEN"] = token
        path.write_text(json.dumps(declared))


def _judge(job: Job, report: Report, ended: Ended, scratch: Path, result: Result | None) -> None:
    exit_code, number = ended.exit_code, ended.signal
    if result is not None and exit_code == result.status:
        # What ended is the runner, which tells how its command did.
        exit_code, number = result.exit_code, result.signal
    else:
        result = None
    report.exit_code, report.signal = exit_code, number
    report.cpu_seconds = round(ended.cpu_seconds, 3)
    report.peak_memory_mb = ended.peak_memory_mb
    killed = "it was killed by SIGKILL, as by a memory limit of the node"
    if ended.timed_out:
        limit = f"{job.time_limit:g} s" if job.time_limit is not None else "unknown length"
        report.fail(
            reports.TIME_LIMIT,
            f"it exceeded its time limit of {limit} (resource runtime) and was killed",
        )
    elif ended.cancelled:
        report.fail(reports.KILLED, _KILLED)
    elif ended.exit_code == 0 and not was_reached(job, scratch):
        report.fail(
            reports.NO_RUNTIME,
            "the command was not reached: the lines of --grid-runtime-setup must not replace the "
            "shell, as exec does",
        )
    elif ended.exit_code == 0:
        report.reason = reports.SUCCESS
        report.exit_code = 0
    elif exit_code in (SETUP_FAILED, PYTHON_MISSING) and result is None:
        what = "Snakemake" if job.decision is None else "the runtime"
        report.fail(reports.NO_RUNTIME, f"{what} could not be set up on the worker")
    elif exit_code == MODULES_MISSING and job.env_modules and result is None:
        report.fail(
            reports.NO_RUNTIME,
            "the worker node has no command module (environment modules) for the rule's "
            "envmodules; make it available by --grid-runtime-setup, choose a site that has it, or "
            "use conda or containers",
        )
    elif result is not None and result.reason not in _BY_FULL_DISK:
        report.fail(result.reason, result.message)
    elif _free(scratch) < _FULL or _met_full_disk(scratch.parent / LOG_FILE):
        report.fail(reports.OUT_OF_DISK, "the disk of the worker node is full")
    elif number == signal.SIGKILL or exit_code == _SHELL_SAYS_KILLED:
        several = job.decision is not None and len(job.decision.steps) > 1
        rule = f"{result.message}: " if result is not None and several else ""
        report.fail(reports.KILLED, rule + killed)
    elif result is not None:
        report.fail(result.reason, result.message)
    elif number:
        name = processes.signal_name(number)
        report.fail(reports.PAYLOAD_FAILED, f"the payload was killed by {name}")
    else:
        from .comparison import found_difference

        ending = f"the payload ended with exit code {exit_code}"
        report.fail(reports.PAYLOAD_FAILED, found_difference(scratch) or ending)


def _free(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _met_full_disk(path: Path) -> bool:
    """Return whether the end of the log mentions a full disk; space may have been freed since."""
    words = tail(path)
    return any(os.strerror(number).encode() in words for number in (errno.ENOSPC, errno.EDQUOT))


def _send_report(job: Job, sandbox: Path) -> bool:
    """Upload the log, then the report; the submit host waits for the report."""
    from .transfer import urls

    try:
        for leaf in (LOG_FILE, REPORT_FILE):
            if (sandbox / leaf).exists():
                urls.put(sandbox / leaf, job.report_to, leaf)
    except (TransferError, OSError) as error:
        sys.stderr.write(f"The job's report could not be delivered: {error}\n")
        return False
    return True


def _is_first(sandbox: Path) -> bool:
    """Claim the job for this process: a site may start two workers for the same job."""
    try:
        with (sandbox / STARTED_FILE).open("x") as stream:
            stream.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True


def _reserve(sandbox: Path) -> Path | None:
    """Reserve some disk space, so that the report can be written on a full disk."""
    path = sandbox / ".reserve"
    try:
        path.write_bytes(b"\0" * _RESERVE)
    except OSError:
        path.unlink(missing_ok=True)  # free what was written: the disk is full
        return None
    return path


def _make_room(paths: list[Path]) -> None:
    """Remove files that do not come back, so that the logs can be packed on a full disk."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
