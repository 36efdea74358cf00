"""Starts processes that outlive this one, and finds and stops them from any process.

Every process of a server, jobs included, has the server's folder and its component's name in the
environment. That is how a later command finds them: no pid is remembered, none can be mistaken.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process; its start time distinguishes it from a later one with the same pid."""

    pid: int
    parent: int
    started: int


class Processes:
    """The processes of the server in a folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Start nothing yet.

        Args:
            folder: Of the server.
            kind: Of server, for the names of the marks: ``DIRAC``.
        """
        self._folder = folder
        self._folder_mark = f"GRID_TEST_{kind}_SERVER"
        self._component_mark = f"GRID_TEST_{kind}_COMPONENT"
        self._children: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        component: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        user: int | None = None,
    ) -> None:
        """Start a component in a new session; its output is appended to a log.

        Args:
            component: Its name.
            command: Its command.
            environment: Its variables.
            folder: Its working directory.
            log: File for its output.
            user: Id of the user, and of the group, who runs it, if not this one.
        """
        marks = {self._folder_mark: str(self._folder), self._component_mark: component}
        with log.open("ab") as output:
            child = subprocess.Popen(
                [str(part) for part in command],
                env={**environment, **marks},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        self._children.append(child)

    def find(self, component: str | None = None) -> list[Process]:
        """Find the living processes of a component or of all, with their descendants."""
        living = _living()
        found = {pid for pid in living if self._is_marked(pid, component)}
        grown = True
        while grown:
            children = {p.pid for p in living.values() if p.parent in found} - found
            found |= children
            grown = bool(children)
        return [living[pid] for pid in sorted(found - {os.getpid()})]

    def stop(self, component: str | None = None, *, hard: bool = False) -> None:
        """End a component or all: SIGTERM, and after 15 s, or at once if hard, SIGKILL."""
        begun = time.monotonic()
        told: set[Process] = set()
        while found := self.find(component):
            elapsed = time.monotonic() - begun
            if elapsed > 40:
                raise RuntimeError(f"Processes do not end: {[process.pid for process in found]}")
            for process in found:
                if hard or elapsed > 15:
                    _send(process, signal.SIGKILL)
                elif process not in told:
                    _send(process, signal.SIGTERM)
                    told.add(process)
            time.sleep(0.05)
            self._reap()
        self._reap()

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    def _is_marked(self, pid: int, component: str | None) -> bool:
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(f"{self._folder_mark}={self._folder}") in variables and (
            component is None or os.fsencode(f"{self._component_mark}={component}") in variables
        )


def _living() -> dict[int, Process]:
    living = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (process := _read(int(entry.name))):
            living[process.pid] = process
    return living


def _read(pid: int) -> Process | None:
    try:
        # After the name in brackets: state, parent, ... and the 22nd of all is the start time.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[1]), int(fields[19]))


def _send(process: Process, number: signal.Signals) -> None:
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = _read(process.pid)
        if now and now.started == process.started:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def wait_for(condition: Callable[[], bool], what: str, log: Path, seconds: float = 120) -> None:
    """Wait for a condition.

    Raises:
        RuntimeError: With the end of the log, when it did not come about in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            last = log.read_text(errors="replace")[-3000:] if log.is_file() else "(no log)"
            raise RuntimeError(f"Waited {seconds:.0f} s in vain for {what}. {log}:\n{last}")
        time.sleep(0.1)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
