"""The two sides that bench_panda.py compares, each with Snakemake on the same PanDA server."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from workflows import TRIVIAL, project

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.servers.panda.server import UNSET, PandaServer, Requests  # noqa: E402
from tests.servers.panda.settings import VO  # noqa: E402

SITE = "SITE_A"
# Whose name the neighbour has built in; the server takes its tasks from nobody else.
USER = "Veprbl"
# As is Snakemake's default: a shorter one would let the neighbour poll more while it submits.
PAUSE = 10
_GAP = PAUSE / 2
_POLLS = ("get_status", "get_datasets_and_files")
_SUBMITTED_LIMIT, _ENDED_LIMIT = 900, 900
_PACKAGES = ("snakemake", "panda-client", "snakemake-storage-plugin-fs")
_VERSIONS = """
import json
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in %r:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
# What a payload finds in place of Python: a job of Snakemake's is an output written.
_STAND_IN = """#!/bin/sh
case " $* " in
*" -m snakemake "*) ;;
*) exec {python} "$@" ;;
esac
folder=. before= n=
for word; do
    case "$word" in trivial:n=*) n=${{word#*=}} ;; esac
    [ "$before" != --default-storage-prefix ] || folder=$word
    before=$word
done
[ "$n" ] || exit 0
mkdir -p "$folder/out" && echo "$n" > "$folder/out/$n.txt"
"""


class Measured(NamedTuple):
    """What one side did until all jobs were submitted, and while they waited.

    Attributes:
        submission: Requests for submitting all jobs.
        following: Requests of a poll round (median of the rounds' numbers).
        meanwhile: Requests that asked for states before all jobs were submitted.
        seconds: From Snakemake's first hand-over of jobs to the last answer to a submission.
        rounds: Seconds of each poll round.
        uploaded: Bytes in the bodies of requests, and in files put into the store.
        paths: Number of requests by path, rounds included.
    """

    submission: int
    following: int
    meanwhile: int
    seconds: float
    rounds: list[float]
    uploaded: int
    paths: Mapping[str, int]


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: Of the executor.
        python: Has Snakemake with it.
        options: Of Snakemake, for a store in a folder.
    """

    name: str
    python: Path
    options: Callable[[Path], list[str]]


def ours() -> Side:
    """Return this package's side."""

    def make(store: Path) -> list[str]:
        return ["--grid-backend", "panda", "--grid-store", f"file://{store}"]

    return Side("grid", Path(sys.executable), make)


def neighbour(python: Path) -> Side:
    """Return the other side, with a Python that has it."""

    def make(store: Path) -> list[str]:
        storage = ["--default-storage-provider", "fs", "--default-storage-prefix", str(store)]
        return [*storage, "--panda-pre-script", "true"]

    return Side("panda", python, make)


def versions(python: Path, *more: str) -> dict[str, str]:
    """Return the versions of the packages that matter, those that a Python has."""
    names = (*_PACKAGES, *more)
    done = subprocess.run(
        [str(python), "-c", _VERSIONS % (names,)], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def stand_in(folder: Path) -> Path:
    """Write the stand-in for Python; return the folder for the payloads' PATH."""
    folder.mkdir()
    for name in ("python", "python3"):
        script = folder / name
        script.write_text(_STAND_IN.format(python=shlex.quote(sys.executable)))
        script.chmod(0o755)
    return folder


def measure(
    side: Side, server: PandaServer, parent: Path, count: int, rounds: int, latency: float
) -> Measured:
    """Run the workflow; jobs start only after everything was measured, and then run to the end."""
    with project(parent, TRIVIAL.format(count=count)) as folder:
        store, begun = folder.parent / "store", folder.parent / "begun"
        store.mkdir()
        server.clear_faults()
        server.spoil_site(SITE, "closed")
        server.latency(latency)
        server.forget_requests()
        before = len(server.jobs())
        with _snakemake(side, server, folder, [str(begun), *side.options(store)], count) as wait:
            wait(lambda: len(server.jobs()) == before + count, _SUBMITTED_LIMIT)
            requests = _own(server.requests())
            submitted = max(end for path, _, end in requests if "task/submit" in path)
            enough = _SUBMITTED_LIMIT * rounds
            wait(lambda: len(_rounds(_own(server.requests()), submitted)) > rounds, enough)
            found, uploaded = server.requests(), _size(store)
            server.clear_faults()
            wait(None, _ENDED_LIMIT)
        made = folder / "out" if side.name == "grid" else store / "out"
        texts = {path.read_text() for path in made.iterdir()}
        assert texts == {f"{number}\n" for number in range(count)}
        return _measured(found, submitted, float(begun.read_text()), uploaded, rounds)


def _measured(
    found: Requests, submitted: float, begun: float, stored: int, rounds: int
) -> Measured:
    requests = _own(found)
    early = [path for path, came, _ in requests if came < submitted]
    polls = sum(path.rpartition("/")[2] in _POLLS for path in early)
    whole = _rounds(requests, submitted)[:rounds]
    return Measured(
        submission=len(early) - polls,
        following=sorted(len(group) for group in whole)[len(whole) // 2],
        meanwhile=polls,
        seconds=submitted - begun,
        rounds=[group[-1][1] - group[0][0] for group in whole],
        uploaded=sum(size for path, size in found.received.items() if path[0] == "/") + stored,
        paths=Counter(path for path, _, _ in requests),
    )


def _own(found: Requests) -> list[tuple[str, float, float]]:
    """Return the requests that were not made by payloads."""
    return [entry for entry in found.times if entry[0].startswith("/")]


def _rounds(
    requests: list[tuple[str, float, float]], submitted: float
) -> list[list[tuple[float, float]]]:
    """Return the poll rounds after submission, the last of which may go on: pauses part them."""
    times = sorted((came, end) for _, came, end in requests)
    groups = [[times[0]]]
    for before, after in pairwise(times):
        if after[0] - before[1] > _GAP:
            groups.append([])
        groups[-1].append(after)
    return [group for group in groups if group[0][0] > submitted]


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


Wait = Callable[[Callable[[], bool] | None, float], None]


@contextmanager
def _snakemake(
    side: Side, server: PandaServer, folder: Path, args: list[str], count: int
) -> Iterator[Wait]:
    """Run Snakemake; yields what waits for a condition, or for its end."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    for name in UNSET:
        kept.pop(name, None)
    env = kept | server.environment(USER) | {"PANDA_VO": VO, "PANDA_SITE": SITE}
    timed = str(Path(__file__).with_name("panda_timed.py"))
    first, *own = args
    log = folder.parent / "snakemake.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(str(side.python), timed, first, "--executor", side.name, *own),
                *("--jobs", str(count), "--seconds-between-status-checks", str(PAUSE)),
                # Limits of Snakemake's own, which are no side's doing.
                *("--max-jobs-per-timespan", f"{count}/1s"),
                *("--max-status-checks-per-second", "1000"),
                *("--nocolor", "--workflow-profile", "none"),
            ],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def wait(condition: Callable[[], bool] | None, seconds: float) -> None:
        until = time.monotonic() + seconds
        while condition is None or not condition():
            code = process.poll()
            if code == 0 and condition is None:
                return
            if code is not None or time.monotonic() > until:
                words = log.read_text(errors="replace")[-3000:]
                sys.exit(f"Snakemake with {side.name} ({code}), its last words:\n{words}")
            time.sleep(1)

    try:
        yield wait
    finally:
        process.kill()
        process.wait()
