"""Runs the payload in a process group of its own, and leaves no process behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .records import dataclass

MARK = "SNAKEMAKE_GRID_JOB"
"""Environment variable by which processes of a job are recognised."""

_adopting = False
"""Whether this process adopts the payload's orphans."""
_GRACE = 5.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Ended:
    """How the payload ended.

    Attributes:
        exit_code: None if a signal ended it.
        signal: Number of that signal, else 0.
        timed_out: Whether the time limit ended it.
        cancelled: Whether a SIGTERM to the worker ended it.
        cpu_seconds: Processor time, including that of its children.
        peak_memory_mb: Largest resident size of a single process, in MB.
    """

    exit_code: int | None
    signal: int
    timed_out: bool
    cancelled: bool
    cpu_seconds: float
    peak_memory_mb: float


class KilledError(BaseException):
    """A SIGTERM or SIGINT has ended what the worker does. No code that handles errors takes it."""


class Cancellation:
    """A flag that SIGTERM or SIGINT to the worker sets."""

    def __init__(self) -> None:
        """Install the handlers."""
        self.requested = self._raises = False
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, self._request)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end what the block does, which may wait for servers for hours.

        Raises:
            KilledError: A signal has come, or had come before.
        """
        self._raises = True
        try:
            if self.requested:
                raise KilledError
            yield
        finally:
            self._raises = False

    def _request(self, _number: int, _frame: object) -> None:
        self.requested = True
        if self._raises:
            self._raises = False  # a second signal does not disturb the cleaning up
            raise KilledError


def adopt_orphans() -> None:
    """Make this process adopt the payload's orphans (Linux)."""
    # If the pilot ignores SIGCHLD, the worker inherits that and the kernel keeps no exit codes.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # What it blocks would be blocked in the commands as well, which could not be ended then.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
    global _adopting
    _adopting = _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def run(
    start: Callable[[], int],
    mark: str,
    limit: float | None,
    cancellation: Cancellation,
) -> Ended:
    """Run a payload to its end, its time limit or its cancellation.

    Args:
        start: Starts the payload as leader of a new session and returns its process id.
        mark: Value of the variable ``SNAKEMAKE_GRID_JOB`` in its environment.
        limit: Seconds that it may take, None for no limit.
        cancellation: Checked several times a second.
    """
    began = time.monotonic()
    pid = start()
    handle = _handle_of(pid)
    timed_out = cancelled = False
    stop_at: float | None = None
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        if stop_at is None:
            timed_out = limit is not None and now - began > limit
            cancelled = cancellation.requested
            if timed_out or cancelled:
                stop_at = now + _GRACE
                _signal_group(pid, signal.SIGTERM)
        elif now > stop_at:
            _signal_group(pid, signal.SIGKILL)
        _wait_for(handle, min(0.2, 0.005 + (now - began) / 20))
    if status and not timed_out:
        cancelled = cancellation.requested  # a site may end all processes at the same time
    if handle >= 0:
        os.close(handle)
    _signal_group(pid, signal.SIGKILL)
    if not (_adopting and _reap()):
        kill_marked(mark)
        _kill_children()
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    # ru_maxrss is in kilobytes on Linux and in bytes on macOS (getrusage(2) of either).
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Ended(
        exit_code=None if number else os.WEXITSTATUS(status),
        signal=number,
        timed_out=timed_out,
        cancelled=cancelled,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_mb=round(usage.ru_maxrss * unit / 1e6, 1),
    )


def starter(argv: list[str], cwd: Path, env: dict[str, str], log: Path) -> Callable[[], int]:
    """Return a function that starts a program for ``run``."""
    import subprocess  # slow, and not needed to fork

    def start() -> int:
        with log.open("ab") as stream:
            # The worker has one thread, so preexec_fn is safe.
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        process.returncode = 0  # run() waits for it and reads its usage
        return process.pid

    return start


def fork_starter(
    entry: Callable[[list[str]], int], argv: list[str], cwd: Path, env: dict[str, str], log: Path
) -> Callable[[], int]:
    """Return a function that forks this process and calls ``entry`` there, for ``run``."""

    def start() -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setsid()
            die_with_parent()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _redirect(log)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(env)
            code = entry(argv)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    return start


def kill_marked(mark: str) -> None:
    """Kill every process with the mark of the job in its environment (needs /proc)."""
    needle = f"{MARK}={mark}".encode()
    own = os.getpid()
    for entry in _entries("/proc"):
        if not entry.isdigit() or int(entry) == own:
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        if needle in environment.split(b"\0"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(entry), signal.SIGKILL)


def signal_name(number: int) -> str:
    """Return the name of a signal; some real-time ones have none."""
    known = {one.value: one.name for one in signal.Signals}
    return known.get(number, f"signal {number}")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send this process a signal when its parent dies (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, number)


def _redirect(log: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (stream, 1), (stream, 2)):
        os.dup2(source, target)
        os.set_inheritable(target, True)


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _kill_children() -> None:
    """Kill the children of this process; they may have removed the mark."""
    give_up = time.monotonic() + _GRACE
    while (children := _children()) and time.monotonic() < give_up:
        for pid in children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
        _reap()  # their children become children of this process
    _reap()


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for entry in _entries("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The program name in parentheses may contain any character.
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
                if stat.rpartition(")")[2].split()[1] == own:
                    found.append(int(entry))
    return found


def _reap() -> bool:
    """Reap the children that have ended; return whether none is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _handle_of(pid: int) -> int:
    """Return a descriptor that can be read when a child has ended, -1 without (old kernels)."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def _wait_for(handle: int, seconds: float) -> None:
    if handle >= 0:
        poll = select.poll()  # unlike select(), also with numbers of 1024 and more
        poll.register(handle, select.POLLIN)
        poll.poll(seconds * 1000)
    else:
        time.sleep(seconds)


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _prctl(option: int, value: int) -> bool:
    """Call prctl(2); return whether it succeeded."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    return False
