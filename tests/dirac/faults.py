"""Injects faults between a run and its DIRAC server, and tells what became of the jobs.

The payloads leave files in a folder outside of every sandbox, so what counts is what really ran;
the server's side is read from its own database.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import Finished, Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.dirac.server import DiracServer

_CHUNK = 1 << 16


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come about within {seconds:.0f} s")
        time.sleep(0.1)


@dataclass(frozen=True)
class Row:
    """A job in the server's database."""

    number: int
    name: str
    status: str
    minor: str
    site: str
    rescheduled: int

    @property
    def rule(self) -> str:
        return self.name.partition("-")[0]


class Running:
    """A Snakemake run under way."""

    def __init__(self, project: Project, log: Path, *args: str) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                project.command(*args),
                cwd=project.folder,
                env=project.env(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for something to come about while it runs."""

        def has_come() -> object:
            found = condition()
            if not found and self.process.poll() is not None:
                raise TimeoutError("the run has ended before")
            return found

        try:
            eventually(has_come, seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    def tells(self, *words: str, seconds: float = 60) -> None:
        """Wait until it has said something."""
        for word in words:
            self.until(lambda word=word: word in self.output, seconds)

    def finish(self, seconds: float = 120) -> Finished:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end\n{self.output}") from None
        return Finished(code, self.output)

    def kill(self) -> None:
        """End Snakemake by SIGKILL, without a chance to clean up."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Scene:
    """A project, the server that is going to suffer, and what is left of the jobs."""

    def __init__(self, project: Project, server: DiracServer, folder: Path) -> None:
        self.project = project
        self.server = server
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._runs: list[Running] = []
        self._first = 0
        self._first = max((row.number for row in self.rows()), default=0) + 1

    def note(self, what: str) -> str:
        """Return a shell command that leaves a mark, one for each time it runs."""
        return f"mktemp {self._notes}/{what}.XXXXXX >/dev/null"

    def notes(self, what: str = "") -> Counter[str]:
        """Return how often each mark was left whose name begins so."""
        found = (path.name.rpartition(".")[0] for path in self._notes.iterdir())
        return Counter(name for name in found if name.startswith(what))

    def many(self, count: int, wait: str = "true") -> None:
        """Write a workflow of equal jobs: each leaves ``begun`` and ``ended`` behind.

        Args:
            count: Number of jobs.
            wait: A shell command between the two.
        """
        self.project.put(
            "Snakefile",
            f"""
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule a:
    output: "out/{{n}}.txt"
    shell: "{self.note("begun-{wildcards.n}")}; {wait}; echo {{wildcards.n}} >{{output}}; "
        "{self.note("ended-{wildcards.n}")}"
""",
        )

    def begin(self, *args: str) -> Running:
        self._runs.append(Running(self.project, self._folder / f"run-{len(self._runs)}.log", *args))
        return self._runs[-1]

    def rows(self) -> list[Row]:
        """Return the jobs that this scene has on the server."""
        rows = [
            Row(int(number), name, status, minor, site, int(times))
            for number, name, status, minor, site, times in self.server.query(
                "SELECT JobID, JobName, Status, MinorStatus, Site, RescheduleCounter FROM Jobs "
                "ORDER BY JobID"
            )
        ]
        return [row for row in rows if row.number >= self._first]

    def statuses(self) -> Counter[str]:
        return Counter(row.status for row in self.rows())

    def each_ran_once(self, count: int) -> None:
        """See that the jobs of ``many`` ran once each, here and on the server."""
        wanted = {f"{mark}-{n}": 1 for n in range(count) for mark in ("begun", "ended")}
        assert self.notes() == wanted
        for n in range(count):
            assert self.project.read(f"out/{n}.txt") == f"{n}\n"
        rows = self.rows()
        done = [row for row in rows if row.status == "Done"]
        assert len({row.name for row in done}) == len(done) == count, rows
        assert not any(row.rescheduled for row in rows), rows
        # Nothing is left that could still begin.
        assert {row.status for row in rows} <= {"Done", "Failed", "Killed"}, rows

    def end(self) -> None:
        """End what is still going on, so that the next scene has the server for itself."""
        for run in self._runs:
            if run.process.poll() is None:
                run.kill()
        final = ("Done", "Failed", "Killed", "Deleted")
        if left := [row.number for row in self.rows() if row.status not in final]:
            self.server.kill_jobs(*left)


class Interceptor:
    """Stands between clients and a service, and breaks connections off before an answer.

    What goes through is encrypted. That the service has done its work, and what comes next is the
    answer, is known from the database.
    """

    def __init__(self, port: int) -> None:
        """Listen on a free port, and pass everything on to another."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_done: Callable[[], bool] | None = None
        self.lost = 0
        self._lock = threading.Lock()

    def lose(self, is_done: Callable[[], bool]) -> None:
        """Lose the next answer that comes when something has been done."""
        with self._lock:
            self._is_done = is_done

    @contextmanager
    def at_work(self) -> Iterator[Interceptor]:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client = self._listener.accept()[0]
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                for source, sink, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(
                        target=self._pass_on, args=(source, sink, answers), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while (data := source.recv(_CHUNK)) and not (answers and self._is_to_be_lost()):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_to_be_lost(self) -> bool:
        with self._lock:
            if self._is_done is None or not self._is_done():
                return False
            self._is_done = None
            self.lost += 1
            return True
