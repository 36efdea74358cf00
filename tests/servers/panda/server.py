"""Starts and stops a server, and sets its faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.nodes import bare_node
from tests.servers.panda import settings
from tests.servers.ports import free_port

from .pilot import start_time
from .settings import SITES, VO, Delays, Settings
from .tokens import Issuer

_ROOT = Path(__file__).parents[3]
# Variables that would make a client use another server or another identity.
UNSET = ("PANDA_AUTH_ID_TOKEN", "OIDC_AUTH_ID_TOKEN", "OIDC_AUTH_VO", "X509_USER_PROXY")


@dataclass(frozen=True)
class Requests:
    """The requests since `PandaServer.forget_requests`.

    Attributes:
        counts: Requests for each path, without the query; those of payloads as "runGen <path>".
        received: Bytes of the requests' bodies for each path.
        sent: Bytes of the answers' bodies for each path.
        times: Of each request: path as in ``counts``, when it came, when it was answered (seconds
            since the epoch).
    """

    counts: dict[str, int]
    received: dict[str, int]
    sent: dict[str, int]
    times: list[tuple[str, float, float]]

    @property
    def total(self) -> int:
        """Number of requests, without those of payloads."""
        return sum(count for path, count in self.counts.items() if path.startswith("/"))

    def of(self, text: str) -> int:
        """Count the requests whose path contains a text."""
        return sum(count for path, count in self.counts.items() if text in path)


class PandaServer:
    """A PanDA server with its sites, its token issuer and its users, in a separate process."""

    def __init__(self, its_settings: Settings) -> None:
        self.settings = its_settings
        self.folder = its_settings.folder
        self.issuer = Issuer(self.folder / "keys", self.url)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        worker_path: Path | None = None,
        *,
        sites: Sequence[str] = SITES,
        slots: int = 4,
        scouts: int = 10,
        max_active_tasks: int | None = None,
        isolate: bool = False,
        idds: str | None = None,
        delays: Delays | None = None,
    ) -> PandaServer:
        """Prepare a server in a folder that is empty or does not exist; see `Settings`.

        Without a path, payloads find a Python of the server's own, which has no packages.

        Raises:
            FileExistsError: The folder is not empty.
        """
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty")
        made = Settings(
            folder=folder.absolute(),
            worker_path=(worker_path or bare_node(folder / "node")).absolute(),
            port=free_port(),
            sites=tuple(sites),
            slots=slots,
            scouts=scouts,
            max_active_tasks=max_active_tasks,
            isolate=isolate,
            idds=idds,
            delays=delays or Delays(),
        )
        made.save()
        return cls(made)

    @classmethod
    def load(cls, folder: Path) -> PandaServer:
        """Return the server of a folder, running or not."""
        return cls(settings.load(folder))

    @property
    def url(self) -> str:
        return self.settings.url

    # The process.

    def start(self) -> None:
        """Start the server with its saved state, and wait until it answers.

        Raises:
            RuntimeError: It does not start; the text has the end of its log.
        """
        if self._pid():
            return
        with self.settings.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.serve", str(self.folder)],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pid = self._process.pid
        self.settings.pid_file.write_text(json.dumps([pid, start_time(pid)]))
        self._wait_until(self.answers, "the server answers", 30)

    def stop(self) -> None:
        """Stop the server; payloads continue, as on worker nodes."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server; payloads continue."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def down(self) -> None:
        """Stop the server and all payloads; the files stay."""
        self.stop()
        for pid in self._payloads():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Stop the server and all payloads, and remove its files."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Return whether the server answers."""
        if self._process and self._process.poll() is not None:
            raise RuntimeError(f"The server has ended. {self._last_words()}")
        try:
            self._ask("GET", "/admin/requests")
        except (OSError, ValueError):
            return False
        return True

    def status(self) -> dict[str, int]:
        """Return the number of processes: of the server, and of payloads."""
        return {"server": int(self._pid() is not None), "payloads": len(self._payloads())}

    # Clients.

    def environment(
        self, user: str = "Alice Test", *, production: bool = False, seconds: float = 86400
    ) -> dict[str, str]:
        """Return the variables of a client, and write its token.

        Args:
            user: Name of the user.
            production: Whether the user has the production role.
            seconds: Until the token expires.
        """
        file = self.write_token(user, seconds, production=production)
        return {
            "PANDA_URL": f"{self.url}/server/panda",
            "PANDA_URL_SSL": f"{self.url}/server/panda",
            "PANDACACHE_URL": f"{self.url}/server/panda",
            "PANDA_BEHIND_REAL_LB": "1",
            "PANDA_AUTH": "oidc",
            "PANDA_AUTH_VO": f"{VO}:production" if production else VO,
            "OIDC_AUTH_TOKEN_FILE": str(file),
            "PANDA_CONFIG_ROOT": str(file.parent),
        }

    def token(
        self, user: str = "Alice Test", seconds: float = 86400, *, production: bool = False
    ) -> str:
        """Make a token; with less than 0 seconds it has expired."""
        groups = (VO, f"{VO}/production") if production else (VO,)
        return self.issuer.issue(user, seconds, groups=groups)

    def write_token(
        self, user: str = "Alice Test", seconds: float = 86400, *, production: bool = False
    ) -> Path:
        """Write a token into the file that `environment` names."""
        folder = self.folder / "users" / user.replace(" ", "_") / ("prod" if production else "user")
        folder.mkdir(parents=True, exist_ok=True)
        new, file = folder / "token.new", folder / "token"
        new.touch(mode=0o600)
        new.write_text(self.token(user, seconds, production=production))
        new.replace(file)
        return file

    # Faults.

    def fault(self, kind: str, path: str = "", times: int | None = 1, **more: Any) -> int:
        """Make requests fail; see `faults.Fault`."""
        number: int = self._ask("POST", "/admin/fault", kind=kind, path=path, times=times, **more)
        return number

    def latency(self, seconds: float) -> None:
        """Delay every request."""
        self._ask("POST", "/admin/latency", seconds=seconds)

    def clear_faults(self) -> None:
        """Remove all faults, also of sites, and the latency."""
        self._ask("POST", "/admin/clear")

    def spoil_site(self, site: str, kind: str, **more: Any) -> None:
        """Make a site faulty; see `pilot.SiteFault`."""
        self._ask("POST", "/admin/site", site=site, kind=kind, **more)

    def mend_site(self, site: str) -> None:
        self._ask("POST", "/admin/site", site=site)

    def set_task(self, number: int, status: str, error: str | None = None) -> None:
        """Put a task into a state such as ``exhausted``."""
        self._ask("POST", "/admin/task", task=number, status=status, error=error)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause all tasks and jobs; requests are still answered."""
        self._ask("POST", "/admin/pause", paused=True)
        try:
            yield
        finally:
            self._ask("POST", "/admin/pause", paused=False)

    def vanish(self, *jobs: int) -> None:
        """Let the worker nodes of running jobs go down."""
        self._ask("POST", "/admin/vanish", jobs=jobs)

    def lose_cached(self, name: str) -> None:
        """Delete a file from the cache."""
        (self.settings.cache / name).unlink()

    def oidc(self, **values: Any) -> None:
        """Set the behaviour of the issuer; see `oidc.IssuerPages`."""
        self._ask("POST", "/admin/oidc", **values)

    def refresh_token(self, user: str = "Alice Test") -> str:
        token: str = self._ask("POST", "/admin/refresh_token", user=user)
        return token

    @contextmanager
    def hidden(self, *folders: Path) -> Iterator[bool]:
        """Hide folders of this machine from payloads that start: they see empty ones.

        Yields:
            Whether they are hidden: only a server made with ``isolate`` can, which needs root.
        """
        file = self.settings.hidden
        before = json.loads(file.read_text()) if file.exists() else []
        self._hide([*before, *(str(folder) for folder in folders)])
        try:
            yield self.settings.isolate
        finally:
            self._hide(before)

    def _hide(self, folders: Iterable[str]) -> None:
        new = self.settings.hidden.with_suffix(".new")
        new.write_text(json.dumps(list(folders)))
        new.replace(self.settings.hidden)

    # State.

    def requests(self) -> Requests:
        return Requests(**self._ask("GET", "/admin/requests"))

    def forget_requests(self) -> None:
        self._ask("DELETE", "/admin/requests")

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks: the fields of `model.Task`."""
        found: list[dict[str, Any]] = self._ask("GET", "/admin/tasks")
        return found

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs: the fields of `model.Job`."""
        found: list[dict[str, Any]] = self._ask("GET", "/admin/jobs")
        return found

    def payload_runs(self) -> list[dict[str, Any]]:
        """Return the jobs whose payload was started, including killed ones."""
        return [job for job in self.jobs() if job["pid"] is not None]

    def pilot(self, job: dict[str, Any]) -> Path:
        """Return the folder in which a job of `jobs` runs or ran."""
        return self.settings.pilot(job["site"], job["number"])

    # Inside.

    def _ask(self, method: str, path: str, /, **body: Any) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())

    def _pid(self) -> int | None:
        try:
            pid, started = json.loads(self.settings.pid_file.read_text())
        except FileNotFoundError:
            return None
        return int(pid) if started is not None and start_time(pid) == started else None

    def _end(self, number: signal.Signals) -> None:
        if pid := self._pid():
            os.kill(pid, number)
            try:
                self._wait_until(lambda: not self._pid(), "the server ends", 10)
            except RuntimeError:
                os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait(10)
            self._process = None
        self.settings.pid_file.unlink(missing_ok=True)

    def _payloads(self) -> list[int]:
        """Return the process groups of payloads, whose leaders run below this folder."""
        below = f"{self.folder}/pilots/"
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str((entry / "cwd").readlink()).startswith(below):
                    found.append(os.getpgid(int(entry.name)))
            except OSError:
                continue
        return sorted(set(found))

    def _wait_until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                words = self._last_words()
                raise RuntimeError(f"Waited {seconds:.0f} s in vain until {what}. {words}")
            if self._process:
                self._process.poll()
            time.sleep(0.02)

    def _last_words(self) -> str:
        text = self.settings.log.read_text(errors="replace")[-3000:]
        return f"{self.settings.log}:\n{text}"
