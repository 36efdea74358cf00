"""Runs that something is done to while they go on, and marks of what really ran.

The payloads leave files in a folder outside of every sandbox, so what counts is what really ran.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.conftest import Finished, Project, finish, processes_below


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come about within {seconds:.0f} s")
        time.sleep(0.1)


def waiting_for(file: Path) -> str:
    """Return a shell command that ends when there is a file."""
    return f"while ! test -e {file}; do sleep 0.2; done"


def meddle(project: Project, folder: Path, code: str) -> None:
    """Run some Python at the start of each Snakemake of a project, and nowhere else.

    It is for waiting times that no option shortens.

    Args:
        project: The project.
        folder: Where the code may lie.
        code: The code.
    """
    folder.mkdir(exist_ok=True)
    # Python imports a module of this name when it starts.
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"sys.path.remove({str(folder)!r})\n"
        "rest = os.environ['PYTHONPATH'].split(os.pathsep)[1:]\n"
        "del os.environ['PYTHONPATH']\n"
        "if rest:\n"
        "    os.environ['PYTHONPATH'] = os.pathsep.join(rest)\n" + code
    )
    paths = (str(folder), project.env().get("PYTHONPATH"))
    project.environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def local_sites(project: Project) -> list[int]:
    """Return the processes of the local site of a project."""
    found = []
    for pid in processes_below(project.site.folder):
        with suppress(OSError):
            if b"backends.local.server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


class Running:
    """A Snakemake run under way."""

    def __init__(self, project: Project, *args: str) -> None:
        self.process = project.start(*args)

    @property
    def output(self) -> str:
        return self.process.output

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
        return finish(self.process, seconds)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.process.pid, signal.SIGINT)

    def interrupt_a_slow_cancel(self) -> None:
        """Press Ctrl-C, and once more when that takes its time."""
        self.interrupt()
        self.tells("Terminating processes")
        time.sleep(4)
        assert self.process.poll() is None, "it was no slow cancel"
        self.interrupt()

    def kill(self) -> None:
        """End Snakemake by SIGKILL, without a chance to clean up."""
        self.process.kill()


class Scene:
    """A project, the server that is going to suffer, and what is left of the jobs."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._runs: list[Running] = []

    def note(self, what: str) -> str:
        """Return a shell command that leaves a mark, one for each time it runs."""
        return f"mktemp {self._notes}/{what}.XXXXXX >/dev/null"

    def notes(self, what: str = "") -> Counter[str]:
        """Return how often each mark was left whose name begins so."""
        found = (path.name.rpartition(".")[0] for path in self._notes.iterdir())
        return Counter(name for name in found if name.startswith(what))

    def one_after_the_other(self, go: Path) -> None:
        """Write a workflow: while ``running`` waits for a file, ``later`` is not submitted yet."""
        wait = waiting_for(go)
        self.project.put(
            "Snakefile",
            f"""
localrules: all, prepared
rule all:
    input: "running.txt", "later.txt"
rule running:
    output: "running.txt"
    shell: "{self.note("running")}; {wait}; touch {{output}}"
rule prepared:
    output: "prepared.txt"
    shell: "{wait}; touch {{output}}"
rule later:
    input: "prepared.txt"
    output: "later.txt"
    shell: "{self.note("later")}; touch {{output}}"
""",
        )

    def many(self, count: int, wait: str = "true", more: str = "") -> None:
        """Write a workflow of equal jobs: each leaves ``begun`` and ``ended`` behind.

        Args:
            count: Number of jobs.
            wait: A shell command between the two.
            more: Lines of the rule.
        """
        self.project.put(
            "Snakefile",
            f"""
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule a:
    output: "out/{{n}}.txt"
    {more}
    shell: "{self.note("begun-{wildcards.n}")}; {wait}; echo {{wildcards.n}} >{{output}}; "
        "{self.note("ended-{wildcards.n}")}"
""",
        )

    def begin(self, *args: str) -> Running:
        self._runs.append(Running(self.project, *args))
        return self._runs[-1]

    def outputs_are_there(self, count: int) -> None:
        """See that the jobs of ``many`` ran once each, and that their outputs have come."""
        wanted = {f"{mark}-{n}": 1 for n in range(count) for mark in ("begun", "ended")}
        assert self.notes() == wanted
        for n in range(count):
            assert self.project.read(f"out/{n}.txt") == f"{n}\n"

    def end(self) -> None:
        """End what is still going on, so that the next scene has the server for itself."""
        for run in self._runs:
            if run.process.poll() is None:
                run.kill()
