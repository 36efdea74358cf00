"""What became of the jobs of a run that something was done to, on the server's side."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests import faults
from tests.conftest import Project
from tests.faults import eventually
from tests.servers.panda.server import PandaServer

from .seen import Seen

SUBMIT = "/task/submit"
UPLOAD = "/upload_cache_file"
STATUS = "/task/get_status"
FILES = "/get_datasets_and_files"
BY_NAME = "/get_tasks_detailed_info_since"

_FINAL = {"done", "finished", "failed", "broken", "aborted"}


class Scene(faults.Scene):
    """A project on a PanDA server."""

    def __init__(self, project: Project, server: PandaServer, folder: Path, store: Path) -> None:
        super().__init__(project, folder)
        self.server = server
        self.store = store
        self._seen = Seen(server)
        server.forget_requests()

    def tasks(self) -> list[dict[str, Any]]:
        return self._seen.tasks()

    def jobs(self) -> list[dict[str, Any]]:
        return self._seen.jobs()

    def statuses(self) -> Counter[str]:
        return Counter(self._seen.states())

    def task_statuses(self) -> list[str]:
        return [task["status"] for task in self.tasks()]

    def asked(self, path: str) -> int:
        """Return how often the server was asked something; it forgets that when it restarts."""
        return self.server.requests().of(path)

    def each_ran_once(self, count: int, tasks: int = 1) -> None:
        """See that the jobs of ``many`` ran once each, here and on the server."""
        self.outputs_are_there(count)
        eventually(lambda: set(self.task_statuses()) <= _FINAL, 15)
        assert self.task_statuses() == ["done"] * tasks
        inputs = [job["inputs"] for job in self.jobs()]
        assert len(inputs) == count, inputs
        assert self.statuses() == {"finished": count}

    def end(self) -> None:
        """End what is still going on, so that the next scene has the server for itself."""
        super().end()
        self.server.clear_faults()
        self.server.vanish(*(job["number"] for job in self.jobs() if job["status"] == "running"))
        for task in self.tasks():
            if task["status"] not in _FINAL:
                self.server.set_task(task["number"], "broken")
