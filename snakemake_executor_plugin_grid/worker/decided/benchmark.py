"""Measures commands and writes benchmark files, as ``snakemake/benchmark.py`` of Snakemake 9.27.

Snakemake asks psutil, which reads the same files of /proc (Linux). Where /proc cannot be read, as
for commands that end at once, the columns are NA.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable

from .decision import Benchmark

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any

HEADER = (
    *("s", "h:m:s", "max_rss", "max_vms", "max_uss", "max_pss"),
    *("io_in", "io_out", "mean_load", "cpu_time"),
)
EXTENDED = (
    *("jobid", "rule_name", "wildcards", "params", "threads"),
    *("cpu_usage", "resources", "input_size_mb"),
)
_SHORT, _LONG = 0.5, 30.0
_SHORT_SAMPLES = 30
_MB = 1 << 20


class Sampler:
    """Measures a process and its children until it ends.

    Attributes:
        due: Monotonic time of the next sample, in seconds.
    """

    def __init__(self, pid: int) -> None:
        """Take the first sample."""
        self._pid = pid
        self._began = time.time()
        self._peaks = [0.0, 0.0, 0.0, 0.0]
        self._io = (0.0, 0.0)
        self._cpu_times: dict[tuple[int, str], float] = {}
        self._usage = 0.0
        self._previous = 0.0
        self._last: dict[int, tuple[float, float]] = {}
        self._collected = False
        self._samples = 0
        self.due = 0.0
        self.sample()

    def sample(self) -> None:
        """Take a sample."""
        self._samples += 1
        self.due = time.monotonic() + (_SHORT if self._samples <= _SHORT_SAMPLES else _LONG)
        now = time.time()
        sums = [0.0, 0.0, 0.0, 0.0]
        read = written = usage = 0.0
        collected = False
        for pid in _family(self._pid):
            try:
                name, cpu, memory, io = _measure(pid)
            except (OSError, ValueError, IndexError, KeyError):
                continue  # it has ended, or belongs to another user
            if self._previous:
                usage += self._percent(pid, cpu) * (now - self._previous)
            sums = [total + value for total, value in zip(sums, memory)]
            read, written = read + io[0], written + io[1]
            self._cpu_times[pid, name] = cpu
            collected = True
        if not collected:
            return
        self._collected = True
        self._previous = now
        self._peaks = [max(peak, value / _MB) for peak, value in zip(self._peaks, sums)]
        self._io = (read / _MB, written / _MB)
        self._usage += usage

    def _percent(self, pid: int, cpu: float) -> float:
        """Return what `psutil.Process.cpu_percent` does: 0 at first, then since the last call."""
        now = time.monotonic()
        before, self._last[pid] = self._last.get(pid), (now, cpu)
        if before is None or now <= before[0]:
            return 0.0
        return round(100 * (cpu - before[1]) / (now - before[0]), 1)

    def row(self) -> dict[str, Any]:
        """Return the measured columns, with ``cpu_usage``, when the process has ended."""
        seconds = time.time() - self._began
        cpu_time = sum(self._cpu_times.values())
        measured = [*self._peaks, *self._io, self._usage / seconds, cpu_time, self._usage]
        if not self._collected:
            measured = ["NA"] * len(measured)  # type: ignore[list-item]
        values = [round(seconds, 4), clock(seconds), *measured]
        return dict(zip((*HEADER, "cpu_usage"), values))


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds, without fractions."""
    days, rest = divmod(int(seconds), 24 * 3600)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} day{'s' * (days != 1)}, {text}" if days else text


def write_benchmark(
    benchmark: Benchmark, path: str, rows: Iterable[dict[str, Any]], inputs: Iterable[str]
) -> None:
    """Write the benchmark file of a step.

    Args:
        benchmark: Says which columns it has.
        path: Where to; one that ends with ``.jsonl`` gets lines of JSON.
        rows: What each repeat has measured.
        inputs: For ``input_size_mb``, if it was not decided.

    Raises:
        OSError: It cannot be written.
    """
    names = HEADER + EXTENDED if benchmark.extended else HEADER
    decided = dict(benchmark.columns)
    if benchmark.extended and "input_size_mb" not in decided:
        decided["input_size_mb"] = {one: os.stat(one).st_size / 1024 / 1024 for one in inputs}
    lines = [] if path.endswith(".jsonl") else ["\t".join(names)]
    for row in rows:
        values = {name: {**decided, **row}.get(name) for name in names}
        if path.endswith(".jsonl"):
            lines.append(json.dumps(values, sort_keys=True))
        else:
            lines.append("\t".join(map(_cell, values.values())))
    with open(path, "w") as stream:
        stream.write("".join(line + "\n" for line in lines))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return []
    for entry in entries:
        if entry.isdigit():
            try:
                parent = int(_stat(int(entry))[1][1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _stat(pid: int) -> tuple[str, list[str]]:
    """Return the name of a process, and the fields of its ``stat`` from the state on."""
    with open(f"/proc/{pid}/stat", errors="replace") as stream:
        # The program name in parentheses may contain any character.
        head, _, rest = stream.read().rpartition(")")
    return head.partition("(")[2], rest.split()


def _measure(pid: int) -> tuple[str, float, tuple[float, ...], tuple[int, int]]:
    """Return name, processor seconds, memory (RSS, VMS, USS, PSS in bytes), bytes read, written.

    Raises:
        OSError: The process has ended, or belongs to another user.
    """
    name, fields = _stat(pid)
    if fields[0] == "Z":
        raise ProcessLookupError(pid)
    ticks = os.sysconf("SC_CLK_TCK")
    cpu = int(fields[11]) / ticks + int(fields[12]) / ticks
    private = shared = 0
    rollup = f"/proc/{pid}/smaps_rollup"  # since Linux 4.14
    with open(rollup if os.path.exists(rollup) else f"/proc/{pid}/smaps") as stream:
        for line in stream:
            if line.startswith("Private"):
                private += int(line.split()[1]) << 10
            elif line.startswith("Pss:"):
                shared += int(line.split()[1]) << 10
    with open(f"/proc/{pid}/io") as stream:
        io = dict(line.split(": ") for line in stream.read().splitlines())
    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    memory = (resident, int(fields[20]), private, shared)
    return name, cpu, memory, (int(io["read_bytes"]), int(io["write_bytes"]))
