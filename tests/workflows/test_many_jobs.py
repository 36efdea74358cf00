"""Many jobs, of which every tenth suffers a fault: the run ends with every output right.

A thousand with GRID_TEST_JOBS=1000, in five minutes on two processors; `make test-all` asks for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.workflow

COUNT = int(os.environ.get("GRID_TEST_JOBS", "80"))
FAULTY = 10
"""One of how many jobs suffers a fault, the first time it runs."""

WORKFLOW = """
FAULTS = {faults!r}
rule all:
    input: expand("out/{{n}}.txt", n=range({count}))
rule a:
    output: "out/{{n}}.txt"
    params: fault=lambda wildcards: FAULTS.get(int(wildcards.n), "none")
    shell: "{payload} {{wildcards.n}} {{params.fault}} >{{output}}"
"""
# What suffers by itself does so here; what others do to it waits for them, and tells them where.
PAYLOAD = """#!/bin/sh
mktemp {notes}/begun-$1.XXXXXX >/dev/null
if test $2 != none && mkdir {notes}/tried-$1 2>/dev/null; then
    case $2 in
        exit) exit 1 ;;
        suicide) kill -9 $$ ;;
    esac
    echo "$2 $$ $PWD" >{notes}/part-$1
    mv {notes}/part-$1 {notes}/faults/$1
    case $2 in
        payload|worker|sandbox) sleep 10; echo wrong; exit 0 ;;
    esac
fi
seq $1 $(($1 + 5000))
mktemp {notes}/ended-$1.XXXXXX >/dev/null
"""


class Vandal:
    """Does to jobs what they do not do to themselves, in a thread of its own."""

    def __init__(self, notes: Path) -> None:
        """Begin to read what payloads note.

        Args:
            notes: Folder of the notes; those on faults are below it.
        """
        self._faults = notes / "faults"
        self._faults.mkdir()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.done: Counter[str] = Counter()

    def __enter__(self) -> Vandal:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        seen: set[Path] = set()
        pending: list[tuple[str, int, Path]] = []
        while not self._stop.wait(0.01):
            for note in set(self._faults.iterdir()) - seen:
                seen.add(note)
                fault, pid, place = note.read_text().split(maxsplit=2)
                # Payloads run in a folder of their sandbox.
                sandbox = Path(place.partition("/scratch/")[0])
                pending.append((fault, int(pid), sandbox))
            left = []
            for fault, pid, sandbox in pending:
                if FAULTS[fault](pid, sandbox):
                    self.done[fault] += 1
                elif sandbox.exists():
                    left.append((fault, pid, sandbox))
            pending = left


def kill_payload(pid: int, sandbox: Path) -> bool:
    os.kill(pid, signal.SIGKILL)
    return True


def kill_worker(pid: int, sandbox: Path) -> bool:
    os.kill(int((sandbox / "started").read_text()), signal.SIGKILL)
    return True


def remove_sandbox(pid: int, sandbox: Path) -> bool:
    shutil.rmtree(sandbox, ignore_errors=True)
    return True


def cut_report(pid: int, sandbox: Path) -> bool:
    with suppress(FileNotFoundError):
        os.truncate(sandbox / "report.json", 100)
        return True
    return False


def damage_output(pid: int, sandbox: Path) -> bool:
    """Change what is delivered, but not its size, as soon as it has its name."""
    delivered = sandbox.parents[1] / "store" / "delivered" / sandbox.name
    for path in delivered.glob("?" * 64):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        return True
    return False


FAULTS: dict[str, Callable[[int, Path], bool]] = {
    "payload": kill_payload,
    "worker": kill_worker,
    "sandbox": remove_sandbox,
    "report": cut_report,
    "output": damage_output,
}
KINDS = ("exit", "suicide", *FAULTS)
SURE = ("exit", "suicide", "payload", "worker", "sandbox")
"""The others may come too late, when their job has been taken in."""


@pytest.mark.timeout(900)
def test_every_output_is_right_after_faults_of_all_kinds(project: Project, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    payload = tmp_path / "payload.sh"
    payload.write_text(PAYLOAD.format(notes=notes))
    payload.chmod(0o755)
    faulty = range(FAULTY // 2, COUNT, FAULTY)
    faults = {number: KINDS[place % len(KINDS)] for place, number in enumerate(faulty)}
    project.put("Snakefile", WORKFLOW.format(faults=faults, count=COUNT, payload=payload))
    options = ("--jobs", str(COUNT), "--grid-local-cores", "4", "--retries", "3")
    with Vandal(notes) as vandal:
        run = project.run(*options, timeout=800).succeeded()
    wanted = Counter(faults.values())
    assert all(vandal.done[fault] == wanted[fault] for fault in ("payload", "worker", "sandbox"))
    for told in (
        "ended with exit code 1 ",
        "died without a report",
        "report is damaged",
        "output damaged",
    ):
        assert told in run.output
    for number in range(COUNT):
        lines = "".join(f"{line}\n" for line in range(number, number + 5001))
        assert project.read(f"out/{number}.txt") == lines, number
    begun = Counter(path.name.partition(".")[0] for path in notes.glob("begun-*"))
    for number in range(COUNT):
        fault = faults.get(number, "")
        times = (2,) if fault in SURE else (1, 2) if fault else (1,)
        assert begun[f"begun-{number}"] in times, f"{number} {fault}\n{run.output}"
