"""Runs a job on the worker node: unpack, run, pack, report."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Callable

from . import processes, stageout
from . import report as reports
from .comparison import (
    FOLDER,
    compared_command,
    comparison_folder,
    found_difference,
    write_comparison,
)
from .container import container_command, container_environment
from .description import (
    ENVIRONMENT_FILE,
    JOB_FILE,
    LOG_FILE,
    REPORT_FILE,
    STARTED_FILE,
    FolderError,
    Job,
    Output,
    in_folder,
    load,
)
from .environment import (
    STORE_TOKEN,
    payload_environment,
    wheels_environment,
    without_bash,
)
from .fetch import InputDamagedError
from .interpreter import interpreter
from .log import tail, trim
from .payload_script import MODULES_MISSING, PYTHON_MISSING, SETUP_FAILED, script
from .placeholders import left_placeholders
from .processes import Cancellation, Ended
from .report import Report
from .runtime import RuntimeMissing
from .stagein import stage_in
from .transfer import urls
from .transfer.errors import TransferError
from .tree import Tree

Entry = Callable[["list[str]"], int]
"""Function that runs Snakemake in this process; takes the arguments, returns the exit code."""

PYTHON = '"$GRID_PYTHON"'
_RESERVE = 256 << 10
_SHELL_SAYS_KILLED = 128 + signal.SIGKILL
_FULL = 1 << 20
_MISSED = b"MissingOutputException"


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
    scratch = sandbox / "scratch"
    job = None
    try:
        job = read(sandbox)
        report.name = job.name
        _run(job, sandbox, scratch, report, cancellation, entry)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            report.fail(reports.OUT_OF_DISK, f"the disk of the worker node is full: {error}")
        else:
            report.fail(reports.WORKER_FAILED, f"{type(error).__name__}: {error}")
    except FolderError as error:
        report.fail(reports.WORKER_FAILED, str(error))
    except Exception as error:
        report.fail(reports.WORKER_FAILED, f"{type(error).__name__}: {error}")
    finally:
        _remove(scratch)
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


def plain_argv(command: str) -> list[str] | None:
    """Return the arguments of Snakemake if a shell would only split the line into words.

    Args:
        command: Shell line; must start with ``"$GRID_PYTHON" -m snakemake``.
    """
    prefix = f"{PYTHON} -m snakemake "
    if not command.startswith(prefix):
        return None
    line = command[len(prefix) :]
    quoted = r"""'[^']*'|"[^"$`\\]*\""""
    # A newline outside of quotes ends the command.
    if re.search(r"[^\w \t@%+=:,./-]", re.sub(quoted, "", line)):
        return None
    return shlex.split(line)


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
    tree = Tree(scratch / "tree", job.nesting)
    runtime_folder = scratch / "runtime"
    try:
        staged, report.bytes_in = stage_in(job, sandbox, tree, runtime_folder)
    except InputDamagedError as error:
        report.fail(reports.INPUT_DAMAGED, str(error))
        return
    report.begin("running")
    try:
        start = _starter(job, sandbox, scratch, tree, entry)
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
    _judge(job, report, ended, scratch)
    # Snakemake itself checks the outputs, and fails if one is missing.
    missed = report.reason == reports.PAYLOAD_FAILED and _MISSED in tail(sandbox / LOG_FILE)
    if report.reason == reports.SUCCESS or missed:
        report.missing = stageout.missing_outputs(job, tree)
        if report.missing:
            names = ", ".join(name.partition("/")[2] for name in report.missing)
            report.reason = reports.OUTPUT_MISSING
            report.message = f"the job succeeded but did not create {names}"
    if report.reason == reports.SUCCESS and (special := stageout.special_outputs(job, tree)):
        report.reason = reports.OUTPUT_MISSING
        report.message = (
            f"only files, folders and links can leave the worker node, but not {'; '.join(special)}"
        )
    complete = report.reason == reports.SUCCESS or job.keep_incomplete
    unwanted = {"staying"} if complete else {"staying", "output"}
    selected = [output for output in job.outputs if output.kind not in unwanted]
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


def _starter(
    job: Job, sandbox: Path, scratch: Path, tree: Tree, entry: Entry | None
) -> Callable[[], int]:
    declared = json.loads((sandbox / ENVIRONMENT_FILE).read_text())
    env = payload_environment(os.environ, declared, scratch, job.name)
    log = sandbox / LOG_FILE
    command = in_folder(job.command, tree.cwd)
    script_needed = entry is None or bool(job.runtime.setup) or job.env_modules
    argv = None if script_needed else plain_argv(command)
    write_comparison(job, scratch, tree)
    if entry is not None and argv is not None and job.runtime.kind == "inherit":
        # The same variables as with a shell.
        env.update(PWD=str(tree.cwd), GRID_PYTHON=sys.executable)
        if job.comparison:
            env[FOLDER] = str(comparison_folder(scratch))
        return processes.fork_starter(entry, argv, tree.cwd, env, log)
    command = compared_command(command, job, scratch)
    runtime = job.runtime
    if runtime.kind == "wheels":
        env = wheels_environment(env, str(scratch / "runtime"))
    if runtime.kind == "container":
        env = without_bash(env)
        env.update(container_environment(env, runtime.engine))
    python = interpreter(runtime, command, path=env["PATH"])
    packages = str(scratch / "runtime") if runtime.kind == "wheels" else ""
    script_path = scratch / "payload.sh"
    script_path.write_text(
        script(
            command,
            runtime.setup,
            python=python,
            packages=packages,
            env_modules=job.env_modules,
        )
    )
    # dash does not pass on functions that bash exports.
    bash = shutil.which("bash", path=env["PATH"]) if without_bash(env) != env else None
    line = [bash or "/bin/sh", str(script_path)]
    if runtime.kind == "container":
        line = container_command(
            runtime,
            folder=str(scratch),
            cwd=str(tree.cwd),
            env_names=sorted(env),
            script=str(script_path),
        )
    return processes.starter(line, tree.cwd, env, log)


def _judge(job: Job, report: Report, ended: Ended, scratch: Path) -> None:
    report.exit_code, report.signal = ended.exit_code, ended.signal
    report.cpu_seconds = round(ended.cpu_seconds, 3)
    report.peak_memory_mb = ended.peak_memory_mb
    if ended.timed_out:
        limit = f"{job.time_limit:g} s" if job.time_limit is not None else "unknown length"
        report.fail(
            reports.TIME_LIMIT,
            f"it exceeded its time limit of {limit} (resource runtime) and was killed",
        )
    elif ended.cancelled:
        report.fail(reports.KILLED, "it was killed from outside")
    elif ended.exit_code == 0:
        report.reason = reports.SUCCESS
    elif ended.exit_code in (SETUP_FAILED, PYTHON_MISSING):
        report.fail(reports.NO_RUNTIME, "Snakemake could not be set up on the worker")
    elif ended.exit_code == MODULES_MISSING and job.env_modules:
        report.fail(
            reports.NO_RUNTIME,
            "the worker node has no command module (environment modules) for the rule's "
            "envmodules; make it available by --grid-runtime-setup, choose a site that has it, or "
            "use conda or containers",
        )
    elif shutil.disk_usage(scratch).free < _FULL or _met_full_disk(scratch.parent / LOG_FILE):
        report.fail(reports.OUT_OF_DISK, "the disk of the worker node is full")
    elif ended.signal == signal.SIGKILL or ended.exit_code == _SHELL_SAYS_KILLED:
        report.fail(reports.KILLED, "it was killed by SIGKILL, as by a memory limit of the node")
    elif ended.signal:
        known = {
            number.value: number.name for number in signal.Signals
        }  # some real-time signals have no name
        name = known.get(ended.signal, f"signal {ended.signal}")
        report.fail(reports.PAYLOAD_FAILED, f"the payload was killed by {name}")
    else:
        ending = f"the payload ended with exit code {ended.exit_code}"
        report.fail(reports.PAYLOAD_FAILED, found_difference(scratch) or ending)


def _met_full_disk(path: Path) -> bool:
    """Return whether the end of the log mentions a full disk; space may have been freed since."""
    words = tail(path)
    return any(os.strerror(number).encode() in words for number in (errno.ENOSPC, errno.EDQUOT))


def _send_report(job: Job, sandbox: Path) -> bool:
    """Upload the log, then the report; the submit host waits for the report."""
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
            _remove(path)
        else:
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """Remove a tree, including read-only folders."""

    def retry(function: Callable[[str], object], path: str, _error: object) -> None:
        try:
            Path(path).parent.chmod(0o700)
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
                Path(path).chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                function(path)
        except OSError as error:  # files of another user, left by a container
            sys.stderr.write(f"{path}: not removed: {error}\n")

    if folder.exists():
        shutil.rmtree(folder, onerror=retry)
