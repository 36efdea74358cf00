"""The settings of a server, which are stored in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

VO = "testvo"
SETUP = "Test"
HOST = "localhost"
LOCAL_SITE = "DIRAC.Local.test"
SECOND_SITE = "DIRAC.Second.test"
PARKED_SITE = "DIRAC.Parked.test"
WORKING_SITES = (LOCAL_SITE, SECOND_SITE)
STORAGE_ELEMENTS = ("SE-1", "SE-2")
GROUPS = {"ciuser": "dirac_user", "diracadmin": "dirac_admin", "diracpilot": "dirac_pilot"}

# A Unix socket's path is at most 107 bytes.
_LONGEST_FOLDER = 95


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes:
        folder: Everything the server writes is below it.
        venv: The virtual environment with DIRAC[server].
        worker_path: The folder that is first in the PATH of jobs.
        https: The layout: DISET only, or most services behind Tornado.
        agents: Number of sites with a JobAgent, 1 or 2.
        slots: Processors of each JobAgent.
        max_parametric_jobs: The server's limit of jobs per submission.
        ports: Port of each service, and of "database", "opensearch" and "tornado".
    """

    folder: Path
    venv: Path
    worker_path: Path
    https: bool = False
    agents: int = 1
    slots: int = 4
    max_parametric_jobs: int = 100
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.agents <= len(WORKING_SITES):
            raise ValueError(f"agents={self.agents}: there are {len(WORKING_SITES)} working sites")
        if len(str(self.folder)) > _LONGEST_FOLDER:
            raise ValueError(f"The path of {self.folder} is too long for MariaDB's socket")

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def dirac(self) -> Path:
        """DIRAC's source folder."""
        return next(self.venv.glob("lib/python3*/site-packages/DIRAC"))

    @cached_property
    def version(self) -> str:
        """DIRAC's version."""
        return version_of(self.venv)

    @cached_property
    def has_setups(self) -> bool:
        """Whether this DIRAC, older than 9, has setups and their instances of each system."""
        finder = self.dirac / "ConfigurationSystem" / "Client" / "PathFinder.py"
        return "def getSystemInstance" in finder.read_text()

    @property
    def ca_folder(self) -> Path:
        return self.folder / "certificates" / "ca"

    def certificate(self, name: str) -> Path:
        return self.folder / "certificates" / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / "certificates" / f"{name}.key"

    def proxy(self, user: str) -> Path:
        return self.folder / "certificates" / f"{user}.proxy"

    def storage(self, name: str) -> Path:
        return self.folder / "storage" / name

    def worker(self, number: int) -> Path:
        return self.folder / f"worker-{number}"

    def log(self, component: str) -> Path:
        return self.folder / "logs" / f"{component}.log"

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _file(self.folder).write_text(json.dumps(asdict(self), default=str, indent=2))


def version_of(venv: Path) -> str:
    """Return the version of the DIRAC that is installed in a virtual environment."""
    (found,) = venv.glob("lib/python3*/site-packages/[dD][iI][rR][aA][cC]-*.dist-info")
    return found.stem.partition("-")[2]


def load(folder: Path) -> Settings:
    """Read the settings of the server in a folder."""
    values = json.loads(_file(folder.absolute()).read_text())
    for name in ("folder", "venv", "worker_path"):
        values[name] = Path(values[name])
    return Settings(**values)


def exist(folder: Path) -> bool:
    return _file(folder).is_file()


def _file(folder: Path) -> Path:
    return folder / "settings.json"
