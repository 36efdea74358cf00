"""The server's MariaDB."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DATABASES: Mapping[str, Sequence[str]] = {
    "Accounting": ("AccountingDB",),
    "DataManagement": ("FileCatalogDB",),
    "Framework": ("ProxyDB",),
    "RequestManagement": ("ReqDB",),
    "ResourceStatus": ("ResourceStatusDB",),
    "WorkloadManagement": (
        *("JobDB", "JobLoggingDB", "TaskQueueDB", "SandboxMetadataDB", "PilotAgentsDB"),
    ),
}
USER = PASSWORD = "Dirac"

_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\0": "\0", r"\\": "\\"}


class Database:
    """MariaDB with its files in a folder, on a loopback port."""

    def __init__(self, folder: Path, port: int) -> None:
        self._data = folder / "database"
        self._socket = folder / "database.sock"
        self._port = port
        self._tmp = folder / "database-tmp"

    def install(self, log: Path) -> None:
        """Make the files of an empty database server."""
        command = ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", *_as_root()]
        # A separate folder: several servers in one damage each other's files.
        self._tmp.mkdir(exist_ok=True)
        command += [f"--tmpdir={self._tmp}"]
        with log.open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mariadb-install-db failed: {log.read_text()[-2000:]}")

    def command(self) -> list[str]:
        """Return the command that runs it, tuned for memory and speed instead of safety."""
        return [
            *("mariadbd", "--no-defaults", f"--datadir={self._data}", *_as_root()),
            *(f"--socket={self._socket}", f"--port={self._port}", "--bind-address=127.0.0.1"),
            *("--character-set-server=utf8mb4", "--max-connections=300"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
            f"--tmpdir={self._tmp}",
        ]

    def create(self, dirac: Path) -> None:
        """Create DIRAC's databases from the SQL files in its source folder."""
        script = []
        for host in ("127.0.0.1", "localhost"):
            script.append(f"CREATE USER '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}';")
            script.append(f"GRANT ALL ON *.* TO '{USER}'@'{host}';")
        for system, names in DATABASES.items():
            for name in names:
                script.append(f"CREATE DATABASE `{name}`; USE `{name}`;")
                # Databases with SQLAlchemy have no such file: their service creates the tables.
                tables = dirac / f"{system}System" / "DB" / f"{name}.sql"
                script.append(tables.read_text() if tables.is_file() else "")
        self._run("\n".join(script))

    def query(self, sql: str, database: str = "JobDB") -> list[tuple[str, ...]]:
        """Return the rows of a statement, all values as text (NULL too)."""
        lines = self._run(sql, "--batch", "--skip-column-names", database).splitlines()
        return [tuple(map(_unescape, line.split("\t"))) for line in lines]

    def _run(self, sql: str, *options: str) -> str:
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--user=root", *options]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"MariaDB refused: {done.stderr.strip()}")
        return done.stdout


def _as_root() -> list[str]:
    return ["--user=root"] if os.getuid() == 0 else []


def _unescape(value: str) -> str:
    return re.sub(r"\\[nt0\\]", lambda match: _ESCAPES[match[0]], value)
