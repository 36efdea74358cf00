"""Kills controllers at their steps and starts them again: nothing may be lost, or done twice.

A step is a moment before or after a change that outlives the process: `kill_hook` lists them.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Finished, finish
from tests.faults import Scene

HOOK = Path(__file__).with_name("kill_hook")
RESUME = "--rerun-incomplete"
"""Without it Snakemake stops at outputs of which it does not know whether they are complete."""
RISKY = (
    "after backend.submit",  # jobs may run, and the journal has no id of them
    "after staging.install",  # outputs are there, and Snakemake does not know
    "after Journal.ended",
)
"""Steps of every backend at which a run is killed twice in a row."""


def _lines(numbers: Iterable[int]) -> bytes:
    return "".join(f"{number}\n" for number in numbers).encode()


_RESULTS = {
    "a.txt": _lines(range(1, 2001)),
    "b.txt": _lines(sorted(range(1, 2001), key=str, reverse=True)),
    "c/one.txt": _lines([1]),
    "c/two.txt": _lines([2]),
    "c/tree/.snakemake_timestamp": b"",
    "c/tree/three": _lines([3]),
    "c/tree/deep/many": _lines(range(1, 501)),
}
_WORKFLOW = """
rule all:
    input: "b.txt", "c/one.txt", "c/tree", expand("d{{n}}.txt", n=range({more}))
rule a:
    output: "a.txt"
    shell: "{begun_a}; sleep {pause}; seq 2000 >{{output}}; {ended_a}"
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "{begun_b}; sleep {pause}; LC_ALL=C sort -r {{input}} >{{output}}; {ended_b}"
rule c:
    output: "c/one.txt", two="c/two.txt", tree=directory("c/tree")
    shell:
        "{begun_c}; sleep {pause}; mkdir -p {{output.tree}}/deep; "
        "echo 1 >{{output[0]}}; echo 2 >{{output.two}}; "
        "echo 3 >{{output.tree}}/three; seq 500 >{{output.tree}}/deep/many; {ended_c}"
rule d:
    output: "d{{n}}.txt"
    shell: "{begun_d}; sleep {pause}; touch {{output}}; {ended_d}"
"""


@dataclass
class Start(Finished):
    """A controller that has ended.

    Attributes:
        steps: Names of its steps, in their order; of one that was killed, also the last.
    """

    steps: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def last(self) -> str:
        """The step at which it was killed."""
        assert self.killed, f"it was to be killed, and ended with {self.code}\n{self.output}"
        return self.steps[-1]


class Victim:
    """A workflow of three jobs on two levels, and perhaps more, whose controller is killed."""

    def __init__(self, scene: Scene, pause: float = 0.4, more: int = 0) -> None:
        """Write the workflow.

        Args:
            scene: Where it is, and where its payloads leave marks.
            pause: Seconds that a payload takes.
            more: Number of jobs besides.
        """
        self.scene = scene
        self._story: list[str] = []
        notes = {
            f"{mark}_{job}": scene.note(f"{mark}-{job}" + "{wildcards.n}" * (job == "d"))
            for mark in ("begun", "ended")
            for job in "abcd"
        }
        scene.project.put("Snakefile", _WORKFLOW.format(pause=pause, more=more, **notes))
        self._jobs = ["a", "b", "c", *(f"d{n}" for n in range(more))]

    def start(self, *args: str, die_at: Iterable[str] = (), seconds: float = 120) -> Start:
        """Run Snakemake until it ends or is killed.

        Args:
            args: More of its options.
            die_at: Names of steps: it is killed at the first of them that comes.
            seconds: Which it may take.
        """
        project = self.scene.project
        notes = project.folder.with_name(f"{project.folder.name}-steps-{len(self._story)}")
        rest = project.env().get("PYTHONPATH")
        process = project.start(
            *args,
            PYTHONPATH=f"{HOOK}{os.pathsep}{rest}" if rest else str(HOOK),
            GRID_KILL_STEPS=str(notes),
            GRID_KILL_AT=json.dumps(list(die_at)),
        )
        try:
            ended = finish(process, seconds)
        except AssertionError as error:
            raise AssertionError(f"{self._story}\n{error}") from None
        steps = notes.read_text().split("\n")[:-1] if notes.exists() else []
        start = Start(ended.code, ended.output, tuple(steps))
        fate = f"killed {steps[-1]}" if start.killed else f"ended with {start.code}"
        self._story.append(f"--- {fate}\n{start.output}")
        return start

    def go_on(self, *args: str, die_at: Iterable[str] = ()) -> Start:
        """Start again after it was killed."""
        return self.start("--nolock", RESUME, *args, die_at=die_at)

    def kill_on_and_on(self, steps: Iterable[str], ending: Collection[str] = ()) -> None:
        """Kill it at one step, start it again, kill it at another one, and so on to its end.

        Args:
            steps: At each of them it is killed once.
            ending: Those that may not come any more.
        """
        left = set(steps)
        start = self.start(die_at=left)
        while start.killed:
            left.remove(start.last)
            start = self.go_on(die_at=left)
        start.succeeded()
        assert left <= set(ending), self.story

    def kill_twice(self, step: str) -> None:
        """Kill it at a step, and the next run at the same one if that comes again; then end."""
        assert self.start(die_at=[step]).last == step
        again = self.go_on(die_at=[step])
        (self.go_on() if again.killed else again).succeeded()

    def unlock(self) -> None:
        """Do what Snakemake asks for when a former run was killed."""
        self.scene.project.run("--unlock").succeeded()

    def _outputs(self) -> dict[str, bytes]:
        """Return what every file of every output holds, by its name."""
        folder = self.scene.project.folder
        found = [folder / "a.txt", folder / "b.txt", *(folder / "c").rglob("*")]
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()
        }

    def ended_well(self) -> None:
        """See that each payload has run once, and that all is as if nobody had disturbed it."""
        once = {f"{mark}-{job}": 1 for mark in ("begun", "ended") for job in self._jobs}
        assert self.scene.notes() == once, f"each payload is to run once\n{self.story}"
        assert self._outputs() == _RESULTS, self.story
        left = [path.name for path in self.scene.project.folder.glob("**/.*.grid-*")]
        assert not left, f"left behind: {left}\n{self.story}"

    @property
    def story(self) -> str:
        """What each start has said."""
        return "\n".join(self._story)
