"""Let the workers of a DIRAC server, which run on this machine, not see what is only here."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.dirac.components import agent_name
from tests.servers.dirac.server import DiracServer


@contextmanager
def hidden(folder: Path, server: DiracServer) -> Iterator[bool]:
    """Let jobs see an empty folder in place of one of this machine.

    Yields:
        Whether that is so: only where the workers have mounts of their own, which takes root.
    """
    numbers = range(1, server.settings.agents + 1)
    inside = [
        ("nsenter", "--mount", f"--target={pid}")
        for number in numbers
        if (pid := _keeper_of_mounts(server, number))
    ]
    for enter in inside:
        subprocess.run([*enter, "mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        yield bool(inside)
    finally:
        for enter in inside:
            # It fails where the worker has gone, and the mount with it.
            subprocess.run([*enter, "umount", "--lazy", str(folder)], check=False)


def _keeper_of_mounts(server: DiracServer, number: int) -> int:
    """Return the process of a worker, 0 if that has the same mounts as this process."""
    found = server.processes.find(agent_name(number))
    agent = min(found, key=lambda process: process.started)  # the others are its jobs
    mounts = Path(f"/proc/{agent.pid}/ns/mnt").readlink()
    return agent.pid if mounts != Path("/proc/self/ns/mnt").readlink() else 0
