"""What a user has today: DIRAC's own client. A warm process for bench_dirac.py to ask.

Run with the Python that has DIRAC. A request is a line of JSON, ``[name, argument, …]``; the
answer is a line with its value. What DIRAC prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_TRIES = 3
_JDL = """[
JobName = "usual";
JobGroup = "usual";
Executable = "/bin/sh";
Arguments = "job.sh";
StdOutput = "std.out";
StdError = "std.err";
Site = "{site}";
{inputs}OutputSandbox = {{"std.out","std.err"}};
]"""


def submit(count: int, site: str, script: str) -> tuple[float, list[int]]:
    """Submit one job after the other.

    Args:
        count: How many.
        site: Where they may run.
        script: File for the input sandbox of each, if any.

    Returns:
        Seconds, and ids.
    """
    from DIRAC.WorkloadManagementSystem.Client.WMSClient import WMSClient

    client = WMSClient()
    begun, ids = time.perf_counter(), []
    for number in range(count):
        inputs = ""
        if script:
            Path(script).write_text(f"echo {number}\n")
            inputs = f'InputSandbox = {{"{script}"}};\n'
        ids.append(_ask(client.submitJob, _JDL.format(site=site, inputs=inputs)))
    return time.perf_counter() - begun, ids


def states(ids: list[int]) -> tuple[float, int]:
    """Ask for the states of jobs.

    Returns:
        Seconds, and how many have one.
    """
    from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient

    client = JobMonitoringClient()
    begun = time.perf_counter()
    found = _ask(client.getJobsStates, ids)
    return time.perf_counter() - begun, len(found)


def _ask(call: Callable[[Any], dict[str, Any]], argument: object) -> Any:
    """Make a call; now and then a connection is reset, and it has to be made again."""
    for _ in range(_TRIES):
        reply = call(argument)
        if reply["OK"]:
            return reply["Value"]
    raise RuntimeError(reply["Message"])


def main() -> None:
    """Answer until there is no more request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import DIRAC

    DIRAC.initialize()
    requests: dict[str, Callable[..., Any]] = {"submit": submit, "states": states}
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(requests[name](*args)), file=answers)
        answers.flush()


if __name__ == "__main__":
    main()
