"""Runs one job by DIRAC's local mode: ``submitJob(job, mode="local")``, without any server.

Run by path, in the folder that holds the job's files, by the Python that has DIRAC: it imports
nothing else. DIRAC (8.0.86 to 9.1.22) runs the job in a folder ``Local_*_JobDir`` of the current
one, and leaves there what the job makes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

INPUTS = ("grid-job.sh", "worker.pyz", "jobs.json")
OUTPUTS = ("report.json", "payload.log", "*.blob", "*.data")
MESSAGE_FILE = "message.txt"

_POLL = 1.0


def run(name: str) -> str:
    """Run the job.

    Args:
        name: Its unique name, by which it finds itself among the jobs of ``jobs.json``.

    Returns:
        What went wrong, or nothing.
    """
    try:
        from DIRAC.Interfaces.API.Dirac import Dirac
        from DIRAC.Interfaces.API.Job import Job
    except ImportError as error:
        return f"the DIRAC client cannot be used: {error}"
    _name_setup()
    job = Job(stdout="std.out", stderr="std.err")
    job.setName(name)
    job.setExecutable(INPUTS[0], arguments=name)
    job.setInputSandbox([str(Path(leaf).resolve()) for leaf in INPUTS])
    job.setOutputSandbox(list(OUTPUTS))
    try:
        result = Dirac().submitJob(job, mode="local")
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {error}"
    return "" if result["OK"] else str(result["Message"])


def _name_setup() -> None:
    """Name a setup in a configuration of our own if DIRAC 8 finds none, as it runs no job then."""
    from DIRAC.ConfigurationSystem.Client import PathFinder

    setup = getattr(PathFinder, "getDIRACSetup", None)
    if setup is None or setup() or "DIRACSYSCONFIG" in os.environ:
        return
    if not Path("~/.dirac.cfg").expanduser().exists():
        file = Path("dirac.cfg").absolute()
        file.write_text("DIRAC\n{\n  Setup = Local\n}\n")
        os.environ["DIRACSYSCONFIG"] = str(file)


def end_with(parent: int) -> None:
    """End this session when the process that started it is gone: nobody waits for the job."""
    while os.getppid() == parent:
        time.sleep(_POLL)
    os.killpg(0, signal.SIGTERM)


def main(argv: list[str]) -> int:
    """Run the job of that name, and leave a message if it fails."""
    threading.Thread(target=end_with, args=(int(argv[1]),), daemon=True).start()
    folder = Path.cwd()  # DIRAC goes elsewhere
    message = run(argv[0])
    (folder / MESSAGE_FILE).write_text(message)
    return 1 if message else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
