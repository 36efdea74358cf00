"""Submission, polling and transfers on a real DIRAC server, against DIRAC's own client.

The server is that of the tests (tests/servers/dirac): brought up for the benchmark and taken down
after it, or with `--server` one that runs already. Jobs of the first two parts are for a site where
nothing runs, so they stay as they are; all are killed in the end.

- submission: jobs per second of `DiracBackend.submit` for 500 jobs, with all that belongs to it:
  sandboxes packed and uploaded, jobs created and confirmed. Against one `WMSClient.submitJob` after
  the other, each job with a script of one line in its input sandbox, in a warm process of DIRAC's.
  The same without any sandbox is shown for information. The sides take turns, each begins when the
  server's optimizers have nothing left to do; medians are compared.
- polling: seconds of `DiracBackend.states` for 1,000 jobs, against `JobMonitoringClient()
  .getJobsStates` inside a warm process of DIRAC's. The sides take turns; medians are compared. A
  coroutine in the same event loop sleeps for 5 ms again and again: a stall is what one sleep took
  beyond that. The same loop with nothing to do but sleep shows what the machine is good for.
- chain: five jobs, each of which reads the file that the one before has written, and writes one of
  100 MB. Files travel through a storage element. Uploaded from the submit host is what is new on
  the storage element in the store's folder `blobs`, and all new sandboxes that are no job's output,
  as the server keeps them. Unique bytes are those of the source file and of the Snakefile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench_fanout import MB, make_input
from dirac_sides import ROOT, LostError, Ours, Usual
from workflows import options, project, snakemake, verdict

from snakemake_executor_plugin_grid.model.errors import TransientError
from tests.servers.dirac.fixture import what_is_missing
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import PARKED_SITE

SUBMIT_GOAL, POLL_GOAL, UPLOAD_GOAL = 10.0, 2.0, 1.02
ELEMENT = "SE-1"
TICK = 0.005
QUIET_SECONDS = 180
STEPS = 5
CHAIN = """
rule all:
    input: "out/{steps}.bin"
rule step:
    input: lambda wildcards: f"out/{{int(wildcards.n) - 1}}.bin" if wildcards.n != "1" else "a.bin"
    output: "out/{{n}}.bin"
    shell: "(echo {{wildcards.n}}; cat {{input}}) > {{output}}"
"""
CLEAN = "from snakemake_executor_plugin_grid.cli import main; main()"


class Bench:
    """Submission and polling, and the jobs made for them."""

    def __init__(self, server: DiracServer, folder: Path) -> None:
        """Use a server, and a folder."""
        self._server = server
        self._ours, self._usual = Ours(server, folder), Usual(server, folder)
        self._ids: list[str] = []

    async def close(self) -> None:
        """Kill all jobs, and end the clients."""
        try:
            left = await self._ours.backend.cancel(self._ids)
            print(f"{len(self._ids) - len(left)} of {len(self._ids)} jobs killed")
        finally:
            await self._ours.backend.close()
            self._usual.close()

    async def submission(self, count: int, singles: int, repeat: int) -> None:
        """Compare submission."""
        await self._submit(1)
        await self._submit_usual(2, sandbox=True)
        rates: dict[str, list[float]] = {"ours": [], "usual": [], "no sandbox": []}
        seconds = self._ours.client.seconds
        for number in range(repeat):
            rates["usual"].append(singles / await self._submit_usual(singles, sandbox=True))
            rates["no sandbox"].append(singles / await self._submit_usual(singles, sandbox=False))
            seconds.clear()
            took = await self._submit(count)
            rates["ours"].append(count / took)
            calls = ", ".join(f"{len(t)} {name} {sum(t):.1f} s" for name, t in seconds.items())
            shown = ", ".join(f"{side} {rate[-1]:.1f}" for side, rate in rates.items())
            print(f"  {number + 1}: jobs per second: {shown}; {took:.1f} s: {calls}", flush=True)
        ours = median(rates["ours"])
        print(f"{count} jobs submitted, against {singles} one by one, median of {repeat}")
        print(f"{'':<30}{'jobs/s':>8}{'ratio':>8}{'goal':>8}")
        print(f"{'DiracBackend.submit':<30}{ours:>8.1f}")
        usual, bare = median(rates["usual"]), median(rates["no sandbox"])
        ratio = ours / usual
        line = f"{'submitJob, with a sandbox':<30}{usual:>8.1f}{ratio:>8.2f}{SUBMIT_GOAL:>8.0f}"
        print(f"{line}  {verdict(ratio >= SUBMIT_GOAL)}")
        print(f"{'submitJob, without':<30}{bare:>8.1f}{ours / bare:>8.2f}", flush=True)

    async def polling(self, count: int, rounds: int) -> None:
        """Compare polling."""
        while len(self._ids) < count:
            await self._submit(min(500, count - len(self._ids)))
        await self._quiet()
        ids = self._ids[-count:]
        seconds = self._ours.client.seconds
        seconds.clear()
        ours: list[float] = []
        bare: list[float] = []
        stalls, idle = [0.0], [0.0]
        while len(ours) < rounds:
            took, found = self._usual.states(ids)
            assert found == count
            bare.append(took)
            async with stalls_into(stalls):
                begun = time.perf_counter()
                try:
                    statuses = await self._ours.backend.states(ids)
                except TransientError as error:
                    print(f"  Once more: {error}", flush=True)
                    continue
                ours.append(time.perf_counter() - begun)
            assert statuses.keys() == set(ids)
            async with stalls_into(idle):
                await asyncio.sleep(ours[-1])
        ratio = median(ours) / median(bare)
        print(f"{count} jobs polled, median of {rounds}")
        print(f"{'':<30}{'ms':>8}{'worst':>8}{'ratio':>8}{'goal':>8}")
        for label, taken in (("DiracBackend.states", ours), ("getJobsStates, bare", bare)):
            line = f"{label:<30}{median(taken) * 1e3:>8.0f}{max(taken) * 1e3:>8.0f}"
            end = f"{ratio:>8.2f}{POLL_GOAL:>8.0f}  {verdict(ratio < POLL_GOAL)}"
            print(line + (end if taken is ours else ""))
        shown = ", ".join(f"{len(taken)} {name}" for name, taken in seconds.items())
        print(f"Calls of {rounds} rounds: {shown}")
        print(
            f"Longest stall of the event loop: {max(stalls) * 1e3:.1f} ms, "
            f"{max(idle) * 1e3:.1f} ms of an idle one",
            flush=True,
        )

    async def _submit(self, count: int) -> float:
        while True:
            await self._quiet()
            try:
                took, ids = await self._ours.submit(count)
            except LostError as error:
                print(f"  Once more: {error}", flush=True)
                self._ids += error.ids
            else:
                self._ids += ids
                return took

    async def _submit_usual(self, count: int, *, sandbox: bool) -> float:
        await self._quiet()
        took, ids = self._usual.submit(count, sandbox=sandbox)
        self._ids += ids
        return took

    async def _quiet(self) -> None:
        """Wait until the optimizers have handled all jobs."""
        busy = "SELECT COUNT(*) FROM Jobs WHERE Status IN ('Received', 'Checking')"
        for _ in range(QUIET_SECONDS):
            if self._server.query(busy) == [("0",)]:
                return
            await asyncio.sleep(1)
        print("The server has been busy all the time: figures may mean nothing.")


@asynccontextmanager
async def stalls_into(found: list[float]) -> AsyncIterator[None]:
    """Note by how much sleeps of a tick were too long."""

    async def tick() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            found.append(time.perf_counter() - begun - TICK)

    ticker = asyncio.create_task(tick())
    try:
        yield
        await asyncio.sleep(2 * TICK)  # so that it notes a stall that is just over
    finally:
        ticker.cancel()


def chain(server: DiracServer, parent: Path | None, size: int) -> None:
    """Run the chain, and count what was uploaded for it."""
    with project(parent, CHAIN.format(steps=STEPS)) as folder:
        make_input(folder / "a.bin", size)
        unique = sum(path.stat().st_size for path in folder.iterdir())
        python = ("--grid-dirac-python", str(server.settings.python))
        args = ["--executor", "grid", "--grid-backend", "dirac", *python, "--jobs", "1"]
        args += ["--grid-dirac-storage-element", ELEMENT, "--grid-banned-sites", PARKED_SITE]
        args += ["--seconds-between-status-checks", "1"]
        blobs, newest = blobs_of(server), newest_sandbox(server)
        took = snakemake(folder, *args)
        made = (folder / "out" / f"{STEPS}.bin").read_bytes()
        lines = "".join(f"{number}\n" for number in range(STEPS, 0, -1)).encode()
        assert made == lines + (folder / "a.bin").read_bytes()
        new = blobs_of(server).items() - blobs.items()
        sandboxes = input_sandboxes(server, newest)
        uploaded = sum(size for _, size in new) + sum(sandboxes)
        clean = ("-c", CLEAN, "clean", "--yes")
        subprocess.run(
            [sys.executable, *clean, *python], cwd=folder, stdout=subprocess.DEVNULL, check=True
        )
    ratio = uploaded / unique
    print(
        f"{STEPS} jobs that pass {size / MB:.0f} MB on, {took / STEPS:.1f} s per job; "
        f"{len(new)} blob(s), {len(sandboxes)} sandboxes of {sum(sandboxes):,} bytes"
    )
    print(f"{'':<18}{'bytes':>14}{'unique':>14}{'ratio':>8}{'goal':>8}")
    line = f"{'uploaded':<18}{uploaded:>14,}{unique:>14,}{ratio:>8.4f}{UPLOAD_GOAL:>8.2f}"
    print(f"{line}  {verdict(ratio <= UPLOAD_GOAL)}")


def blobs_of(server: DiracServer) -> dict[Path, int]:
    """Return the sizes of all blobs that submit hosts have put on the storage element."""
    found = server.settings.storage(ELEMENT).glob("**/snakemake-grid/blobs/*/*")
    return {path: path.stat().st_size for path in found}


def newest_sandbox(server: DiracServer) -> int:
    """Return the number of the newest sandbox."""
    rows = server.query("SELECT COALESCE(MAX(SBId), 0) FROM sb_SandBoxes", "SandboxMetadataDB")
    return int(rows[0][0])


def input_sandboxes(server: DiracServer, newest: int) -> list[int]:
    """Return the sizes of the sandboxes after one that are no job's output."""
    rows = server.query(
        "SELECT SEPFN FROM sb_SandBoxes WHERE SBId > "  # noqa: S608 - a number
        f"{newest} AND SBId NOT IN (SELECT SBId FROM sb_EntityMapping WHERE Type = 'Output')",
        "SandboxMetadataDB",
    )
    folder = server.settings.storage("sandboxes")
    return [(folder / path.lstrip("/")).stat().st_size for (path,) in rows]


@contextmanager
def dirac_server(folder: Path | None, venv: Path) -> Iterator[DiracServer]:
    """Use the server in a folder, or bring one up and take it down."""
    if folder is not None:
        yield DiracServer.load(folder)
        return
    # A socket's path must be short, so it is always a temporary folder.
    with TemporaryDirectory(prefix="dirac-") as scratch:
        server = DiracServer.create(Path(scratch, "server"), venv, Path(sys.executable).parent)
        try:
            server.up()
            yield server
        finally:
            server.remove()


async def compare(server: DiracServer, arguments: argparse.Namespace) -> None:
    """Run the first two parts."""
    with TemporaryDirectory(dir=arguments.folder, prefix="grid-bench-") as scratch:
        bench = Bench(server, Path(scratch))
        try:
            if "submission" in arguments.only:
                counts = (40, 8, 1) if arguments.quick else (arguments.jobs, 50, arguments.repeat)
                await bench.submission(*counts)
            if "polling" in arguments.only:
                await bench.polling(*((40, 5) if arguments.quick else (1000, 21)))
        finally:
            await bench.close()


def main() -> None:
    """Read the command line and run."""
    parser = options(__doc__)
    parser.add_argument("--server", type=Path, help="folder of one that runs, with nothing to do")
    venv = Path(os.environ.get("GRID_TEST_DIRAC_VENV") or ROOT / ".venv-dirac")
    parser.add_argument("--venv", type=Path, default=venv, help="with DIRAC[server]")
    parser.add_argument("--jobs", type=int, default=500, help="how many to submit")
    parser.add_argument("--repeat", type=int, default=3, help="times to submit; the median counts")
    parser.add_argument("--size-mb", type=int, default=100, help="size of the chain's file, MB")
    every = ("submission", "polling", "chain")
    parser.add_argument("--only", choices=every, nargs="+", default=every, help="these parts")
    arguments = parser.parse_args()
    if arguments.server is None and (reason := what_is_missing(arguments.venv)):
        print(f"Left out, as {reason}; `make dirac-server` installs it.")
        return
    with dirac_server(arguments.server, arguments.venv) as server:
        os.environ.update(server.environment())
        if set(arguments.only) - {"chain"}:
            asyncio.run(compare(server, arguments))
        if "chain" in arguments.only:
            chain(server, arguments.folder, (20 if arguments.quick else arguments.size_mb) * MB)


if __name__ == "__main__":
    main()
