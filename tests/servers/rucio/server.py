"""Starts and stops the server, as a whole and in parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.servers.ports import free_ports
from tests.servers.processes import Processes, is_listening, wait_for
from tests.servers.rucio import elements, files, settings

from .settings import ACCOUNT, COMPONENTS, Settings

_HERE = Path(__file__).parent
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The server uses them instead of its own configuration; the last replaces the client's.
UNSET = ("RUCIO_CONFIG", "RUCIO_ACCOUNT", "RUCIO_AUTH_TYPE", "RUCIO_VO", "REQUESTS_CA_BUNDLE")


class RucioServer:
    """A Rucio server with its own accounts, database and storage elements, all on 127.0.0.1."""

    def __init__(self, its_settings: Settings) -> None:
        self.settings = its_settings
        self.folder = its_settings.folder
        self.processes = Processes(self.folder, "RUCIO")

    @classmethod
    def create(cls, folder: Path, venv: Path) -> RucioServer:
        """Prepare a server in a folder that is empty or does not exist.

        Raises:
            FileExistsError: The folder is not empty.
        """
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty")
        made = Settings(folder.absolute(), venv.absolute(), free_ports(COMPONENTS, folder))
        made.save()
        return cls(made)

    @classmethod
    def load(cls, folder: Path) -> RucioServer:
        """Return the server of a folder, running or not."""
        return cls(settings.load(folder))

    def up(self, say: Callable[[str], object] = lambda _: None) -> None:
        """Start the components that are not running; create the files first if any are missing.

        Raises:
            RuntimeError: When a part does not come up, with the end of its log.
        """
        complete = self.folder / "complete"
        if not complete.exists():
            self._clear()
            files.write(self.settings)
            self._make_database()
            say("the database is made")
            complete.touch()
        for component in COMPONENTS:
            self.start(component)
        say(f"Rucio answers at {self.settings.url}")

    def down(self) -> None:
        """Stop everything; the files stay."""
        self.processes.stop()

    def remove(self) -> None:
        """Stop everything and remove the files."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> dict[str, int]:
        """Return the number of processes that each component has."""
        return {name: len(self.processes.find(name)) for name in COMPONENTS}

    def start(self, component: str) -> None:
        """Start a component if it is not running, and wait until it answers."""
        if not self.processes.find(component):
            command, environment, user = self._command(component)
            log = self.settings.log(component)
            self.processes.start(component, command, environment, self.folder, log, user)
        port = self.settings.ports[component]
        ready = self._answers if component == "rucio" else lambda: is_listening(port)
        wait_for(ready, f"{component} to answer", self.settings.log(component), 60)

    def stop(self, component: str) -> None:
        """End a component."""
        self.processes.stop(component)

    def environment(self, account: str = ACCOUNT) -> dict[str, str]:
        """Return the variables that make a process a client of this server."""
        return {
            "RUCIO_HOME": str(self.settings.client(account)),
            "X509_USER_PROXY": str(self.settings.proxy),
            "X509_CERT_DIR": str(self.settings.ca_folder),
            "SNAKEMAKE_STORAGE_GRID_RUCIO_PYTHON": str(self.settings.python),
        }

    def client_environment(self, account: str = ACCOUNT) -> dict[str, str]:
        """Return a whole environment for a client."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        return {**kept, **self.environment(account)}

    def client(self, code: str, *arguments: object, account: str = ACCOUNT) -> str:
        """Run Python code, in which ``client`` is a Rucio client and ``args`` are the arguments.

        Returns:
            What it prints.

        Raises:
            RuntimeError: It fails, with its output.
        """
        program = "import json, sys\nfrom rucio.client import Client\n"
        program += "client, args = Client(), json.load(sys.stdin)\n" + code
        command = (str(self.settings.python), "-c", program)
        text = json.dumps(arguments)
        return _run(*command, environment=self.client_environment(account), text=text)

    def expire(self) -> None:
        """Let Rucio's daemons remove what has expired: names, rules, and the bytes of replicas."""
        self._python("expire.py")

    def daemon(self, name: str, *options: str) -> str:
        """Run one of Rucio's daemons once."""
        program = str(self.settings.venv / "bin" / name)
        command = (str(self.settings.python), program, "--run-once", *options)
        return _run(*command, environment=self._server_environment())

    def files(self, rse: str) -> dict[str, int]:
        """Return the files of a storage element with their sizes."""
        folder = self.settings.data(rse)
        return {
            str(path.relative_to(folder)): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file() and ".DAV" not in path.parts
        }

    def requests(self) -> int:
        """Return the number of requests that Rucio has answered."""
        before, count = -1, 0
        while before != count:  # a line is written after the answer
            before = count
            time.sleep(0.2)
            text = self.settings.log("rucio").read_text(errors="replace")
            count = text.count(' HTTP/1.1" ')
        return count

    def _clear(self) -> None:
        """Remove the files of an interrupted start."""
        self.down()
        shutil.rmtree(self.folder)
        self.settings.save()

    def _make_database(self) -> None:
        self._python("create.py", json.dumps(elements.wanted(self.settings)))

    def _python(self, script: str, text: str = "") -> str:
        # -P: the modules of this folder must not be found.
        command = (str(self.settings.python), "-P", str(_HERE / script))
        return _run(*command, environment=self._server_environment(), text=text)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.settings.url}/ping", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _command(self, component: str) -> tuple[list[str], dict[str, str], int | None]:
        """Return the command of a component, its variables, and its user if that is another."""
        root, storage = os.geteuid() == 0, self.settings.storage
        plain = {"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8"}
        if component == "web":
            command = ["/usr/sbin/apache2", "-f", str(storage / "apache.conf"), "-DFOREGROUND"]
            return command, plain, files.NOBODY if root else None
        if component == "xrootd":
            command = ["xrootd", "-I", "v4", "-c", str(storage / "xrootd.cf")]
            return command + (["-R", files.XROOTD_USER] if root else []), plain, None
        listen = f"127.0.0.1:{self.settings.ports['rucio']}"
        # One request at a time: of two that write to SQLite one may fail ("database is locked").
        command = [str(self.settings.venv / "bin" / "gunicorn"), "--workers", "1", "--bind", listen]
        command += ["--access-logfile", "-", "rucio.web.rest.main:application"]
        return command, self._server_environment(), None

    def _server_environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.settings.venv / 'bin'}:{_SYSTEM_PATH}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "RUCIO_CONFIG": str(self.settings.config),
            "RUCIO_HOME": str(self.settings.config.parents[1]),
            "X509_USER_PROXY": str(self.settings.proxy),
        }


def _run(*command: str, environment: Mapping[str, str], text: str = "") -> str:
    done = subprocess.run(
        command, env=environment, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:300]} failed: {done.stdout}{done.stderr}")
    return done.stdout
