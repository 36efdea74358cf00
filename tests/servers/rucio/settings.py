"""The settings of a server, which are stored in its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ACCOUNT = "ci"
SCOPE = "user.ci"
OTHER_SCOPE = "user.other"
"""A scope of another account, in which the user may only read."""
WEB, ROOT = "WEB_USERDISK", "ROOT_USERDISK"
"""Storage elements: behind Apache, by https and davs; behind XRootD, by root.

With the generic permissions users may write only where the name ends so."""
SITES = {WEB: "WEB-SITE", ROOT: "ROOT-SITE"}
PASSWORD = "ci-secret"
ROOT_PASSWORD = "root-secret"
COMPONENTS = ("web", "xrootd", "rucio")


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes:
        folder: Everything the server writes is below it.
        venv: The virtual environment with Rucio's server and client.
        ports: Port of each component.
    """

    folder: Path
    venv: Path
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def rucio(self) -> Path:
        """Rucio's source folder."""
        return next(self.venv.glob("lib/python3*/site-packages/rucio"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['rucio']}"

    @property
    def config(self) -> Path:
        """The server's configuration."""
        return self.folder / "server" / "etc" / "rucio.cfg"

    @property
    def storage(self) -> Path:
        """Folder of the storage elements: files, configurations and certificates."""
        return self.folder / "storage"

    @property
    def proxy(self) -> Path:
        """The user's certificate and key for the storage element behind Apache."""
        return self.storage / "proxy.pem"

    @property
    def ca_folder(self) -> Path:
        return self.storage / "ca"

    def data(self, rse: str) -> Path:
        """Return the folder in which a storage element has its files."""
        return self.storage / {WEB: "data/web", ROOT: "data/root/store"}[rse]

    def client(self, account: str) -> Path:
        """Return the folder of an account's client (``RUCIO_HOME``)."""
        return self.folder / "clients" / account

    def log(self, component: str) -> Path:
        return self.folder / "logs" / f"{component}.log"

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _file(self.folder).write_text(json.dumps(asdict(self), default=str, indent=2))


def load(folder: Path) -> Settings:
    """Read the settings of the server in a folder."""
    values = json.loads(_file(folder.absolute()).read_text())
    for name in ("folder", "venv"):
        values[name] = Path(values[name])
    return Settings(**values)


def exist(folder: Path) -> bool:
    return _file(folder).is_file()


def _file(folder: Path) -> Path:
    return folder / "settings.json"
