"""Wait for processes that are not children of this one."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

_POLL = 0.2


def process_start(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when not known.

    It tells the process from a later one with the same id (proc(5)).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def is_alive(pid: int, start: int) -> bool:
    """Return whether the process is still there, and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process of another user; its start tells whether it is the same
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z" and process_start(pid) == start


async def wait_for_exit(pid: int, deadline: float | None) -> bool:
    """Wait until a process has ended.

    Args:
        pid: Its id.
        deadline: Seconds since the epoch, None to wait without limit.

    Returns:
        Whether it has ended.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (OSError, AttributeError):
        return await _poll_for_exit(pid, deadline)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        timeout = None if deadline is None else max(0.0, deadline - time.time())
        await asyncio.wait_for(ended.wait(), timeout)
    except TimeoutError:
        return False
    else:
        return True
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _poll_for_exit(pid: int, deadline: float | None) -> bool:
    start = process_start(pid)
    while is_alive(pid, start):
        if deadline is not None and time.time() > deadline:
            return False
        await asyncio.sleep(_POLL)
    return True
