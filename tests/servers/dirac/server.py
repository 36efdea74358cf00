"""Starts and stops the server, as a whole and in parts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.nodes import bare_node
from tests.servers.dirac import configuration, files, settings
from tests.servers.ports import free_ports
from tests.servers.processes import Processes, is_listening, wait_for

from .components import HERE, agent_name, all_components
from .database import Database
from .settings import GROUPS, HOST, STORAGE_ELEMENTS, Settings

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NODE = "node"
"""Folder with a Python for jobs that has no packages."""
# The requests library would use these instead of DIRAC's certificate authority.
UNSET = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class DiracServer:
    """A DIRAC server with its own certificates, users, database, storage elements and workers.

    Everything listens on 127.0.0.1 only. Components: see ``components``.
    """

    def __init__(self, its_settings: Settings) -> None:
        self.settings = its_settings
        self.folder = its_settings.folder
        self.database = Database(self.folder, its_settings.ports["database"])
        self.processes = Processes(self.folder, "DIRAC")
        self.components = all_components(its_settings, self.database)

    @classmethod
    def create(
        cls,
        folder: Path,
        venv: Path,
        worker_path: Path | None = None,
        *,
        https: bool = False,
        agents: int = 1,
        slots: int = 4,
        max_parametric_jobs: int = 100,
    ) -> DiracServer:
        """Prepare a server in a folder that is empty or does not exist; see `Settings`.

        Without a path, jobs find a Python of the server's own, which has no packages.

        Raises:
            FileExistsError: The folder is not empty.
        """
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty")
        ports = free_ports((*configuration.SERVICES, *configuration.OTHER_PORTS), folder)
        made = Settings(
            folder=folder.absolute(),
            venv=venv.absolute(),
            worker_path=(worker_path or folder / _NODE / "bin").absolute(),
            https=https,
            agents=agents,
            slots=slots,
            max_parametric_jobs=max_parametric_jobs,
            ports=ports,
        )
        made.save()
        return cls(made)

    @classmethod
    def load(cls, folder: Path) -> DiracServer:
        """Return the server of a folder, running or not."""
        return cls(settings.load(folder))

    @property
    def front(self) -> str:
        """Component that receives submissions and queries of job states."""
        return "tornado" if self.settings.https else "services"

    def up(self, say: Callable[[str], object] = lambda _: None) -> None:
        """Start the components that are not running; create the files first if any are missing.

        Raises:
            RuntimeError: When a part does not come up, with the end of its log.
        """
        complete = self.folder / "complete"
        new = not complete.exists()
        if new:
            self._clear()
            files.make_folders(self.settings)
            bare_node(self.folder / _NODE)
            files.make_certificates(self.settings)
            templates = json.loads(self._python("templates.py", *configuration.systems()))
            files.write_configuration(self.settings, templates)
            say("certificates and configuration are made")
            self.database.install(self.settings.log("database"))
        self.start("database")
        if new:
            self.database.create(self.settings.dirac)
        say("the database is up")
        self.start("opensearch")
        self.start("cs")
        say("the configuration service is up")
        if self.settings.https:
            self._launch("tornado")
        # Other components wait long for it if it is missing.
        self.start("mind")
        others = [name for name in self.components if self.components[name].worker is None]
        for name in others:
            self._launch(name)
        for name in others:
            self._wait(name)
        say("the services are up")
        if new:
            self._seed()
            complete.touch()
        for user in GROUPS:
            self.make_proxy(user)
        self._upload_proxy("ciuser")
        say("the proxies are made")
        for number in range(1, self.settings.agents + 1):
            self.start_agent(number)
        say("the workers ask for jobs")

    def down(self) -> None:
        """Stop everything, jobs too; the files stay."""
        for number in range(1, self.settings.agents + 1):
            self.processes.stop(agent_name(number))
        for name in ("cs", "executors", "services", "tornado", "mind", "stalled"):
            self.processes.stop(name)
        self.processes.stop()
        for name in STORAGE_ELEMENTS:
            if self.settings.storage(name).is_mount():
                _run("umount", "--lazy", str(self.settings.storage(name)))

    def remove(self) -> None:
        """Stop everything and remove the files."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self) -> dict[str, int]:
        """Return the number of processes that each component has, its jobs included."""
        return {name: len(self.processes.find(name)) for name in self.components}

    def start(self, component: str) -> None:
        """Start a component if it is not running, and wait until it is ready."""
        self._launch(component)
        self._wait(component)

    def stop(self, component: str) -> None:
        """End a component with SIGTERM."""
        self._check(component)
        self.processes.stop(component)

    def kill(self, component: str) -> None:
        """End a component with SIGKILL."""
        self._check(component)
        self.processes.stop(component, hard=True)

    def restart(self, component: str) -> None:
        self.stop(component)
        self.start(component)

    def start_agent(self, number: int = 1) -> None:
        """Start a JobAgent and wait until it asks for jobs."""
        name, log = agent_name(number), self.settings.log(agent_name(number))
        before = _cycles(log)
        if not self.processes.find(name):
            self._launch(name)
            wait_for(lambda: _cycles(log) > before, f"{name} to ask for jobs", log)

    def kill_agent(self, number: int = 1, *, hard: bool = True) -> None:
        """Kill a JobAgent with all its jobs, as when a worker node goes down."""
        self.processes.stop(agent_name(number), hard=hard)

    def environment(self, user: str = "ciuser") -> dict[str, str]:
        """Return the variables that make a process a client of this server."""
        client = self.folder / "client"
        return {
            "DIRACSYSCONFIG": str(client / "etc" / "dirac.cfg"),
            "DIRAC_ROOT_PATH": str(client),
            "X509_CERT_DIR": str(self.settings.ca_folder),
            "X509_USER_CERT": str(self.settings.certificate(user)),
            "X509_USER_KEY": str(self.settings.key(user)),
            "X509_USER_PROXY": str(self.settings.proxy(user)),
            "SNAKEMAKE_GRID_DIRAC_PYTHON": str(self.settings.venv / "bin" / "python"),
        }

    def client_environment(self, user: str = "ciuser") -> dict[str, str]:
        """Return a whole environment for a client; DIRAC's commands come last in the PATH."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        path = f"{kept.get('PATH', _SYSTEM_PATH)}:{self.settings.venv / 'bin'}"
        return {**kept, "PATH": path, **self.environment(user)}

    def make_proxy(
        self,
        user: str = "ciuser",
        *,
        hours: float = 24,
        minutes: float = 0,
        seconds: float = 0,
        limited: bool = False,
        group: str | None = None,
        path: Path | None = None,
    ) -> Path:
        """Make a proxy, in place of the user's if no path is given; no server is asked.

        A negative time makes one that has expired: ``make_proxy(hours=-1)``.
        """
        path = path or self.settings.proxy(user)
        self._python(
            "proxy.py",
            str(self.settings.certificate(user)),
            str(self.settings.key(user)),
            group or GROUPS[user],
            str(round(hours * 3600 + minutes * 60 + seconds)),
            "limited" if limited else "full",
            str(path),
        )
        return path

    def command(self, *command: str, user: str = "ciuser") -> str:
        """Run one of DIRAC's commands as a user and return what it prints.

        Raises:
            RuntimeError: When it fails, with its output.
        """
        program = self.settings.venv / "bin" / command[0]
        return _run(str(program), *command[1:], environment=self.client_environment(user))

    def kill_jobs(self, *jobs: int, user: str = "diracadmin") -> None:
        """Kill jobs as an administrator (or as another user)."""
        self.command("dirac-wms-job-kill", *map(str, jobs), user=user)

    def query(self, sql: str, database: str = "JobDB") -> list[tuple[str, ...]]:
        """Ask the server's own database; all values are text (NULL too)."""
        return self.database.query(sql, database)

    @contextmanager
    def limited_storage(self, name: str, megabytes: int) -> Iterator[Path]:
        """Make a storage element small and empty for a while; this needs root.

        Raises:
            PermissionError: When the file system cannot be mounted.
        """
        folder = self.settings.storage(name)
        try:
            _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
        except RuntimeError as error:
            raise PermissionError(str(error)) from None
        try:
            yield folder
        finally:
            _run("umount", "--lazy", str(folder))

    def _clear(self) -> None:
        """Remove the files of an interrupted start."""
        self.down()
        shutil.rmtree(self.folder)
        self.settings.save()

    def _check(self, component: str) -> None:
        if component not in self.components:
            raise ValueError(f"No component {component!r}, there are: {', '.join(self.components)}")

    def _launch(self, name: str) -> None:
        self._check(name)
        if self.processes.find(name):
            return
        component = self.components[name]
        if component.worker is None:
            environment, folder = self._server_environment(), self.folder
        else:
            environment = self._worker_environment(component.worker)
            folder = self.settings.worker(component.worker) / "work"
        log = self.settings.log(name)
        self.processes.start(name, component.command, environment, folder, log)

    def _wait(self, name: str) -> None:
        port, log = self.components[name].port, self.settings.log(name)
        # During exec, a process has no environment for a moment.
        begun = time.monotonic()

        def is_ready() -> bool:
            if not self.processes.find(name) and time.monotonic() > begun + 3:
                last = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{name} has ended. {log}:\n{last}")
            return port is None or is_listening(port)

        wait_for(is_ready, f"{name} to listen", log)

    def _server_environment(self) -> dict[str, str]:
        root = self.folder / "server"
        return {
            "PATH": f"{self.settings.venv / 'bin'}:{_SYSTEM_PATH}",
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "DIRACSYSCONFIG": str(root / "etc" / "dirac.cfg"),
            "DIRAC_ROOT_PATH": str(root),
            "X509_CERT_DIR": str(self.settings.ca_folder),
        }

    def _worker_environment(self, number: int) -> dict[str, str]:
        node = self.settings.worker(number)
        here = self.settings
        return {
            "PATH": f"{here.worker_path}:{here.venv / 'bin'}:{_SYSTEM_PATH}",
            "HOME": str(node / "home"),
            "LANG": "C.UTF-8",
            "DIRACSYSCONFIG": str(node / "etc" / "dirac.cfg"),
            "DIRAC_ROOT_PATH": str(node),
            "X509_CERT_DIR": str(here.ca_folder),
            "X509_USER_PROXY": str(here.proxy("diracpilot")),
        }

    def _seed(self) -> None:
        sites = configuration.sites(self.settings)
        names = {
            "Site": list(sites),
            "ComputingElement": list(sites.values()),
            "StorageElement": [*STORAGE_ELEMENTS, "ProductionSandboxSE"],
            "Catalog": ["FileCatalog"],
        }
        certificate, key = self.settings.certificate(HOST), self.settings.key(HOST)
        self._python("seed.py", str(certificate), str(key), text=json.dumps(names))

    def _upload_proxy(self, user: str) -> None:
        """Upload a long proxy to the server, for the user's jobs."""
        file = self.folder / "certificates" / "uploaded.proxy"
        options = ("-g", GROUPS[user], "-v", "240:00", "-u", str(file))
        self.command("dirac-proxy-init", *options, user=user)

    def _python(self, script: str, *arguments: str, text: str = "") -> str:
        # -P: the modules of this folder must not be found.
        command = (str(self.settings.python), "-P", str(HERE / script), *arguments)
        return _run(*command, environment=self._server_environment(), text=text)


def _cycles(log: Path) -> int:
    return log.read_text(errors="replace").count("Starting cycle") if log.is_file() else 0


def _run(*command: str, environment: Mapping[str, str] | None = None, text: str = "") -> str:
    done = subprocess.run(
        command,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} failed: {done.stdout}{done.stderr}")
    return done.stdout
