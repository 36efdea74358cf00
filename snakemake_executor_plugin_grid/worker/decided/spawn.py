"""Starts the commands of a job, waits for them, and ends them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Mapping, Sequence

from ..processes import die_with_parent

_CHANGED_BY_PYTHON = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")


def spawn(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Start a program as leader of a new process group; it ends when this process does.

    It costs a tenth of what `subprocess` takes to be imported. This process has one thread.

    Args:
        argv: Path of the program, arguments.
        env: Its environment.

    Returns:
        The id of its process and of its process group.

    Raises:
        OSError: It cannot be executed.
    """
    reading, writing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, env, writing)
        os.close(writing)
        writing = -1
        problem = os.read(reading, 32)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    with contextlib.suppress(OSError):  # it has done so itself, or has ended
        os.setpgid(pid, pid)
    if problem:
        os.waitpid(pid, 0)
        number = int(problem)
        raise OSError(number, os.strerror(number), argv[0])
    return pid


def _become(argv: Sequence[str], env: Mapping[str, str], writing: int) -> None:
    """Execute the program in the child; does not return."""
    try:
        os.setpgid(0, 0)
        die_with_parent()
        for name in _CHANGED_BY_PYTHON:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.execve(argv[0], list(argv), dict(env))  # noqa: S606 - commands of the workflow
    except OSError as error:
        os.write(writing, str(error.errno or 1).encode())
    finally:
        os._exit(127)


def keep_descriptors() -> None:
    """Keep what the pilot has left open from the commands, except standard streams."""
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc/self/fd"):
            if int(entry) > 2:
                with contextlib.suppress(OSError):
                    os.set_inheritable(int(entry), False)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to all processes of a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Children:
    """Waits for the children of this process."""

    def __init__(self) -> None:
        """Prepare nothing: most jobs wait without a timeout."""
        self._wakeup = -1

    def wait(self, timeout: float | None) -> tuple[int, int] | None:
        """Wait for a child to end.

        Args:
            timeout: Seconds to wait at most; None without limit.

        Returns:
            Its id and wait status; None when the time is over, or a signal came.

        Raises:
            ChildProcessError: There is none.
        """
        if timeout is None:
            return os.waitpid(-1, 0)
        if self._wakeup < 0:
            self._wakeup, writing = os.pipe()
            for handle in (self._wakeup, writing):
                os.set_blocking(handle, False)
            signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        ended = os.waitpid(-1, os.WNOHANG)
        if ended[0]:
            return ended
        poll = select.poll()  # unlike select(), also with numbers of 1024 and more
        poll.register(self._wakeup, select.POLLIN)
        poll.poll(max(0.0, timeout) * 1000)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        ended = os.waitpid(-1, os.WNOHANG)
        return ended if ended[0] else None
