"""What a test has brought to a PanDA server."""

from __future__ import annotations

import base64
import gzip
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.command import Process
from tests.conftest import Project
from tests.servers.panda.server import PandaServer

T = TypeVar("T")


class Seen:
    """Tasks and jobs that are new on a server."""

    def __init__(self, server: PandaServer) -> None:
        self.server = server
        self._old = {task["number"] for task in server.tasks()}

    def tasks(self) -> list[dict[str, Any]]:
        return [task for task in self.server.tasks() if task["number"] not in self._old]

    def jobs(self) -> list[dict[str, Any]]:
        return [job for job in self.server.jobs() if job["task"] not in self._old]

    def states(self) -> list[str]:
        """Return the states of the jobs, the same as often as there are such jobs."""
        return sorted(job["status"] for job in self.jobs())


class Run:
    """A run of Snakemake that goes on."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def output(self) -> str:
        return self._process.output

    def until(self, condition: Callable[[], T], seconds: float = 40) -> T:
        """Wait for something that happens while it runs; return it."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert self._process.poll() is None, self.output
            assert time.monotonic() < end, f"waited in vain\n{self.output}"
            time.sleep(0.02)
        return found

    def until_it_says(self, text: str, seconds: float = 40) -> None:
        self.until(lambda: text in self.output, seconds)

    def interrupt(self, seconds: float = 60) -> str:
        """Press Ctrl-C, and return all that it has said at its end."""
        os.kill(self._process.pid, signal.SIGINT)
        code, output = self.end(seconds)
        assert code != 0, output
        return output

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Wait for its end; return its exit code, and what it has said."""
        code = self._process.wait(seconds)
        assert "Traceback" not in self.output, self.output
        return code, self.output

    def kill(self) -> None:
        self._process.kill()


@contextmanager
def running(project: Project, *args: str) -> Iterator[Run]:
    """Start Snakemake; it is ended with the context, if it has not ended by itself."""
    run = Run(project.start(*args))
    try:
        yield run
    finally:
        run.kill()


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    """Wait for something that happens by itself; return it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def holders(value: str, folders: Iterable[Path]) -> list[Path]:
    """Return the files that have a value, also packed or in base64."""
    text = value.encode()
    # What comes before it moves its base64; its first and last letters depend on its neighbours.
    signs = [text, *(base64.b64encode(b"x" * shift + text)[4:-4] for shift in range(3))]
    found = []
    for folder in folders:
        for path in folder.rglob("*"):
            try:
                content = path.read_bytes() if path.is_file() else b""
                if content.startswith(b"\x1f\x8b"):
                    content = gzip.decompress(content)
            except (OSError, EOFError):
                continue  # it has just been removed, or is being written
            if any(sign in content for sign in signs):
                found.append(path)
    return found


def command_lines() -> bytes:
    """Return the command lines of all processes of this machine."""
    lines = b""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            lines += (entry / "cmdline").read_bytes() + b"\n"
        except OSError:
            continue
    return lines
