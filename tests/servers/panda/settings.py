"""The settings of a server, which are stored in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
VO = "testvo"
SITES = ("SITE_A", "SITE_B")


@dataclass(frozen=True)
class Delays:
    """Delays in seconds; on a real server all but the last take seconds to minutes.

    Attributes:
        registration: From a submission until the task is known to JEDI.
        step: Time in each intermediate state of a task or a job.
        command: From a command (kill, retry, ...) until it takes effect.
        kill_grace: From SIGTERM to SIGKILL for a payload.
        heartbeat: Time without a heartbeat after which a job counts as lost.
        tick: Interval of updating all tasks and jobs.
        description: For each job that is described: as on a real server.
    """

    registration: float = 0.3
    step: float = 0.05
    command: float = 0.1
    kill_grace: float = 2.0
    heartbeat: float = 1.5
    tick: float = 0.05
    description: float = 0.035


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes:
        folder: Everything the server writes is below it.
        worker_path: The folder that is first in the PATH of payloads.
        port: Port on loopback.
        sites: Names of the sites.
        slots: Cores of each site.
        scouts: Jobs of a task that run before the others, unless it has ``skipScout``.
        max_active_tasks: Limit of active tasks per user; above it, a submission answers code 10.
        isolate: Whether payloads have private mounts, in which hidden folders are empty.
        idds: ``module:Class`` of the iDDS relay, made with the server's `World`.
        delays: See `Delays`.
    """

    folder: Path
    worker_path: Path
    port: int = 0
    sites: tuple[str, ...] = SITES
    slots: int = 4
    scouts: int = 10
    max_active_tasks: int | None = None
    isolate: bool = False
    idds: str | None = None
    delays: Delays = field(default_factory=Delays)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def hidden(self) -> Path:
        """File that lists the folders to hide from payloads."""
        return self.folder / "hidden.json"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "server.pid"

    def pilot(self, site: str, panda_id: int) -> Path:
        """Return the folder in which a job runs."""
        return self.folder / "pilots" / site / str(panda_id)

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _file(self.folder).write_text(json.dumps(asdict(self), default=str, indent=2))


def load(folder: Path) -> Settings:
    """Read the settings of the server in a folder."""
    values = json.loads(_file(folder.absolute()).read_text())
    for name in ("folder", "worker_path"):
        values[name] = Path(values[name])
    values["sites"] = tuple(values["sites"])
    values["delays"] = Delays(**values["delays"])
    return Settings(**values)


def exist(folder: Path) -> bool:
    return _file(folder).is_file()


def _file(folder: Path) -> Path:
    return folder / "settings.json"
