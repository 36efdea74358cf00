"""The processes that make up a server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.servers.dirac import configuration

from .database import Database
from .settings import WORKING_SITES, Settings

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Component:
    """A process of the server, and how to tell that it is ready.

    Attributes:
        command: Its command line.
        port: It is ready when this port is open; None if it has none.
        worker: Number of the worker node that it runs on; None for the server itself.
    """

    command: tuple[str | Path, ...]
    port: int | None = None
    worker: int | None = None


def all_components(here: Settings, database: Database) -> dict[str, Component]:
    """Return all components in the order of their start."""
    ports = here.ports
    diset = (here.python, "-P", HERE / "launch_diset.py")
    tornado = (here.python, "-P", HERE / "launch_tornado.py")
    options = ("-o", "LogLevel=INFO")

    def services(*names: str) -> Component:
        return Component((*diset, "service", *names, *options), ports[names[-1]])

    def https_services(port: int, *names: str) -> Component:
        return Component((*tornado, str(port), *names, *options), port)

    found = {
        "database": Component(tuple(database.command()), ports["database"]),
        "opensearch": Component(
            (here.python, "-P", HERE / "opensearch.py", str(ports["opensearch"])),
            ports["opensearch"],
        ),
    }
    central = configuration.CONFIGURATION
    if here.https:
        found["cs"] = https_services(ports[central], central)
        names = map(configuration.tornado_name, configuration.BEHIND_TORNADO)
        found["tornado"] = https_services(ports["tornado"], *names)
        found["mind"] = services(*configuration.MIND)
        found["services"] = services(*configuration.STAYING)
    else:
        found["cs"] = services(central)
        found["mind"] = services(*configuration.EARLY, *configuration.MIND)
        found["services"] = services(*configuration.MOVED, *configuration.STAYING)
    for name, service in configuration.STORAGE_SERVICES.items():
        found[name] = services(service)
    optimizers = "WorkloadManagement/Optimizers"
    found["executors"] = Component((*diset, "executor", optimizers, *options))
    stalled = "WorkloadManagement/StalledJobAgent"
    found["stalled"] = Component((*diset, "agent", stalled, *options))
    agent = (*_own_mounts(), *diset, "agent", "WorkloadManagement/JobAgent", *options)
    for number in range(1, here.agents + 1):
        found[agent_name(number)] = Component(agent, worker=number)
    return found


def agent_name(number: int) -> str:
    if not 1 <= number <= len(WORKING_SITES):
        raise ValueError(f"There is no agent {number}")
    return "agent" if number == 1 else f"agent-{number}"


def _own_mounts() -> tuple[str, ...]:
    """Return the command prefix that gives a worker private mounts, to hide folders from it."""
    unshare = ("unshare", "--mount", "--propagation", "slave")
    try:
        subprocess.run((*unshare, "true"), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()  # only root may
    return unshare
