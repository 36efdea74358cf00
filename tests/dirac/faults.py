"""Injects faults between a run and its DIRAC server, and tells what became of the jobs.

The server's side is read from its own database.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import faults as scenes
from tests.conftest import Project
from tests.servers.dirac.configuration import Tree, to_text
from tests.servers.dirac.setups import with_instances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.dirac.server import DiracServer

_CHUNK = 1 << 16


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


class Scene(scenes.Scene):
    """A project on a DIRAC server."""

    def __init__(self, project: Project, server: DiracServer, folder: Path) -> None:
        super().__init__(project, folder)
        self.server = server
        self._first = 0
        self._first = max((row.number for row in self.rows()), default=0) + 1

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
        self.outputs_are_there(count)
        rows = self.rows()
        done = [row for row in rows if row.status == "Done"]
        assert len({row.name for row in done}) == len(done) == count, rows
        assert not any(row.rescheduled for row in rows), rows
        # Nothing is left that could still begin.
        assert {row.status for row in rows} <= {"Done", "Failed", "Killed"}, rows

    def end(self) -> None:
        """End what is still going on, so that the next scene has the server for itself."""
        super().end()
        final = ("Done", "Failed", "Killed", "Deleted")
        if left := [row.number for row in self.rows() if row.status not in final]:
            self.server.kill_jobs(*left)


class Interceptor:
    """Stands between clients and a service, and breaks connections off before an answer.

    What goes through is encrypted. That the service has done its work, and what comes next is the
    answer, is known from the database.

    Attributes:
        port: Where it listens.
        is_cut: No connection gets through.
        lost: Number of answers that were lost.
    """

    def __init__(self, port: int) -> None:
        """Listen on a free port, and pass everything on to another."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_done: Callable[[], bool] | None = None
        self.is_cut = False
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
                if self.is_cut:
                    client.close()
                    continue
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
            if self.is_cut:
                return True
            if self._is_done is None or not self._is_done():
                return False
            self._is_done = None
            self.lost += 1
            return True


@contextmanager
def intercepted(
    project: Project, server: DiracServer, *services: str
) -> Iterator[list[Interceptor]]:
    """Let the client of a project reach services of job management through interceptors."""
    here = server.settings
    with ExitStack() as stack:
        made: list[Interceptor] = []
        urls: Tree = {}
        for service in services:
            scheme, name = ("https", f"Tornado{service}") if here.https else ("dips", service)
            port = here.ports["tornado" if here.https else f"WorkloadManagement/{service}"]
            made.append(stack.enter_context(Interceptor(port).at_work()))
            urls[service] = f"{scheme}://localhost:{made[-1].port}/WorkloadManagement/{name}"
        file = project.folder.with_name("dirac.cfg")
        file.write_text(
            Path(here.folder / "client" / "etc" / "dirac.cfg").read_text()
            + to_text({"Systems": with_instances(here, {"WorkloadManagement": {"URLs": urls}})})
        )
        project.environment["DIRACSYSCONFIG"] = str(file)
        yield made
