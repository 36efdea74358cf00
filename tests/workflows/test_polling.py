"""Points 16 and 17: an idle controller costs nothing, and nothing outlives its job."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Project, finish

pytestmark = pytest.mark.workflow

_WATCHED = 3.0


def test_16_polling_without_pause_does_not_spin(project: Project, tmp_path: Path) -> None:
    started = tmp_path / "started"
    project.put(
        "Snakefile",
        f"""
rule all:
    output: "out.txt"
    shell: "touch {started}; sleep 4; touch {{output}}"
""",
    )
    process = project.start(
        "--seconds-between-status-checks", "0", "--max-status-checks-per-second", "1000"
    )
    deadline = time.monotonic() + 60
    while not started.exists():
        assert process.poll() is None, process.output
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = _cpu_seconds(process.pid)
    time.sleep(_WATCHED)
    spent = _cpu_seconds(process.pid) - before
    finish(process, 60).succeeded()
    assert spent < _WATCHED / 10


def test_17_processes_left_behind_end_with_the_job(project: Project) -> None:
    project.put(
        "leave.py",
        """
import json, os, subprocess, sys, time

def note(name):
    with open(f"pids/{name}", "w") as out:
        out.write(str(os.getpid()))

if len(sys.argv) > 1:
    note(sys.argv[1])
    time.sleep(600)
os.makedirs("pids")
for name, prefix, env in [
    ("plain", [], None),
    ("setsid", ["setsid"], None),
    ("nohup", ["nohup"], None),
    ("bare", ["setsid", "--fork"], {}),  # without the job's environment
]:
    line = [*prefix, sys.executable, __file__, name]
    subprocess.Popen(line, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note("daemon")
        time.sleep(600)
    os._exit(0)
names = ("plain", "setsid", "nohup", "bare", "daemon")
while not all(os.path.exists(f"pids/{n}") and open(f"pids/{n}").read() for n in names):
    time.sleep(0.05)
json.dump({n: int(open(f"pids/{n}").read()) for n in names}, open("pids.json", "w"))
""",
    )
    project.write(
        Snakefile="""
rule all:
    output: "pids.json"
    shell: "python3 leave.py"
"""
    )
    project.run().succeeded()
    pids = json.loads(project.read("pids.json"))
    deadline = time.monotonic() + 2  # a killed process needs a moment
    while (left := _sleeping(pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left.values():
        os.kill(pid, signal.SIGKILL)
    assert left == {}


def _sleeping(pids: dict[str, int]) -> dict[str, int]:
    """Return those of the processes that still run the script of the test."""
    left = {}
    for name, pid in pids.items():
        try:
            if b"leave.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                left[name] = pid
        except OSError:
            continue
    return left


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
