"""Runs a workflow of constructs each way, and compares what each construct made."""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from snakemake_executor_plugin_grid import ExecutorSettings
from tests.command import Process
from tests.conftest import Finished, MakeProject, Project, finish

KNOWS_DECIDE = any(one.name == "decide" for one in fields(ExecutorSettings))
"""Whether the installed plugin has ``--grid-decide``."""
NEVER = "never"
WAYS: dict[str, tuple[str, ...]] = (
    {way: ("--grid-decide", way) for way in (NEVER, "auto")} if KNOWS_DECIDE else {NEVER: ()}
)
"""Options of each way to run the jobs of a workflow on the grid, by the value of the option."""
LOCAL = ("--executor", "local")
_OPTIONS = ("--cores", "4", "--keep-going")
_FALLBACK = re.compile(r"(?:rule|group) (\S+) needs Snakemake on the worker: (.*)")
_Entry = tuple[str, object]
_IGNORED = {".snakemake", "__pycache__"}


@dataclass(frozen=True)
class Construct:
    """A part of a workflow. All that it makes is in a folder of its name.

    Attributes:
        name: Its name.
        text: Its rules. Functions and constants have names that no other construct has.
        targets: What the workflow wants of it, in its folder.
        files: What it reads: texts by name.
        order: Files in its folder, from the oldest to the newest, each of another job: Snakemake
            touches all outputs of a job at its end.
        reduced: Makes what has to be the same of a file's bytes; files by name.
        falls_back: Why jobs cannot be decided: words by the name of the rule or the group's job.
        outcomes: Words of the message with which it fails, by way; without, it makes the same.
            `DIFFERS` where it makes something else.
        says: Pattern of a message on the grid.
    """

    name: str
    text: str
    targets: tuple[str, ...] = ("out.txt",)
    files: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    reduced: Mapping[str, Callable[[bytes], object]] = field(default_factory=dict)
    falls_back: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    says: str = ""


DIFFERS = "makes something else"
"""The outcome of a construct that does not fail for it."""


@dataclass(frozen=True)
class Constructs:
    """A workflow.

    Attributes:
        name: Its name.
        parts: Of what it consists.
        header: Text before the rules.
        options: Of Snakemake, each way.
        environment: Variables that Snakemake has; ``{folder}`` is the working directory.
        fails: Whether Snakemake's exit code is 1 with the local executor.
    """

    name: str
    parts: tuple[Construct, ...]
    header: str = ""
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    fails: bool = False

    def write(self, project: Project) -> None:
        """Write it to a project."""
        rules = "\n".join(part.text for part in self.parts)
        targets = [f"{part.name}/{target}" for part in self.parts for target in part.targets]
        last = f"rule all:\n    default_target: True\n    input: {json.dumps(targets)}\n"
        project.put("Snakefile", f"{self.header}\n{rules}\n{last}")
        for part in self.parts:
            for name, text in part.files.items():
                project.put(name, text)
        for name, value in self.environment.items():
            project.environment[name] = value.format(folder=project.folder)


def compare(make_project: MakeProject, workflow: Constructs, way: str) -> list[str]:
    """Run a workflow locally and on the grid; return what is wrong, a line for each."""
    options = {"local": LOCAL, way: WAYS[way]}
    projects = {name: make_project(f"{workflow.name}-{name}") for name in options}
    running: dict[str, Process] = {}
    for name, project in projects.items():
        workflow.write(project)
        # Of Snakemake's options, the last counts.
        running[name] = project.start(*options[name], *_OPTIONS, *workflow.options)
    finished = {name: finish(process, 240) for name, process in running.items()}
    if wrong := _failures(workflow, "local", finished["local"]):
        return [finished["local"].output, *wrong]
    wrong = _failures(workflow, way, finished[way])
    reference, tree = (_Tree(project.folder) for project in projects.values())
    for part in workflow.parts:
        found = _differences(part, way, reference, tree, finished[way].output)
        wrong += [f"{part.name}: {line}" for line in found]
    if finished[way].code == 0 and (left := _left(projects[way], WAYS[way], workflow)):
        expected = _left(projects["local"], LOCAL, workflow)
        wrong += [f"{rule}: would run again" for rule in left if rule not in expected]
    logs = [f"--- {name}\n{run.output[-6000:]}" for name, run in finished.items()]
    return [*logs, *wrong] if wrong else []


def _failures(workflow: Constructs, way: str, run: Finished) -> list[str]:
    wrong = []
    outcomes = [part.outcomes.get(way, DIFFERS) for part in workflow.parts]
    fails = workflow.fails or any(outcome != DIFFERS for outcome in outcomes)
    if run.code != int(fails):
        wrong.append(f"{way}: exit code {run.code}")
    if re.search(r"^Traceback", run.output, re.MULTILINE):
        wrong.append(f"{way}: a traceback is shown")
    if way in WAYS and way != NEVER:
        said = dict(_FALLBACK.findall(run.output))
        expected = {rule: why for part in workflow.parts for rule, why in part.falls_back.items()}
        wrong += [f"{way}: rule {rule} falls back: {said[rule]}" for rule in said.keys() - expected]
        wrong += [
            f"{way}: rule {rule} does not fall back because of {why!r}, but {said.get(rule)!r}"
            for rule, why in expected.items()
            if why not in said.get(rule, "")
        ]
    return wrong


def _left(project: Project, way: Sequence[str], workflow: Constructs) -> list[str]:
    """Return the rules that Snakemake would run now; usually none."""
    again = project.run("--dry-run", *way, *_OPTIONS, *workflow.options).succeeded()
    return sorted(set(re.findall(r"^(?:rule|checkpoint|localrule) (\S+):$", again.output, re.M)))


class _Tree:
    """What is in a folder: kind, permissions and content by name; and times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, _Entry] = {}
        self.times: dict[str, int] = {}
        for parent, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if name not in _IGNORED]
            for name in (*folders, *files):
                path = Path(parent, name)
                status = path.lstat()
                relative = str(path.relative_to(folder))
                self.times[relative] = status.st_mtime_ns
                self.entries[relative] = (stat.filemode(status.st_mode), self._content(path))

    def _content(self, path: Path) -> object:
        if path.is_symlink():
            return str(path.readlink()).replace(str(self.folder), "FOLDER")
        return None if path.is_dir() else path.read_bytes().replace(bytes(self.folder), b"FOLDER")

    def of(self, part: Construct) -> dict[str, _Entry]:
        """Return what a construct has made, reduced to what must be the same."""
        found = {}
        for name, (mode, content) in self.entries.items():
            top, _, rest = name.partition("/")
            if top == part.name:
                reduce = part.reduced.get(rest)
                found[rest] = (mode, reduce(content) if reduce and content else content)
        return found


def _differences(
    part: Construct, way: str, reference: _Tree, tree: _Tree, output: str
) -> list[str]:
    expected, found = reference.of(part), tree.of(part)
    if not re.search(part.says, output):
        return [f"does not say {part.says!r}"]
    outcome = part.outcomes.get(way)
    if outcome == DIFFERS:
        return [] if found != expected else ["it makes the same by now: say so in its outcomes"]
    if outcome is not None:
        made = [target for target in part.targets if target in found]
        wrong = [f"makes {name}, but has to fail" for name in made]
        return wrong if outcome in output else [*wrong, f"does not say {outcome!r}"]
    wrong = [
        f"{name}: {_shown(found.get(name), expected.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    for one in (reference, tree):
        times = [one.times.get(f"{part.name}/{name}", 0) for name in part.order]
        if times != sorted(times) or 0 in times:
            wrong.append(f"the times of {part.order} are {times} in {one.folder.name}")
    return wrong


def _shown(found: _Entry | None, expected: _Entry | None) -> str:
    if found is None or expected is None or found[0] != expected[0]:
        return f"{found or 'nothing'} instead of {expected or 'nothing'}"[:300]
    texts = (
        content.decode(errors="replace").splitlines() if isinstance(content, bytes) else [content]
        for content in (expected[1], found[1])
    )
    lines = difflib.unified_diff(*(list(map(str, text)) for text in texts), n=0, lineterm="")
    return " ".join(list(lines)[2:])[:300]
