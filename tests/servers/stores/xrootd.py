"""A real XRootD server for the tests: Debian's ``xrootd-server`` (tested with 5.5.3).

It exports ``/store`` and, not to be written, ``/readonly``, and computes adler32 checksums. XRootD
has no option to bind to one address: clients other than this host are refused.

Nothing here is a stand-in: what the server answers is what a site with this version answers.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.ports import free_port

_USER = "daemon"
"""User of the server if root runs the tests: the server refuses to run as root."""
_START_LIMIT = 20.0

_CONFIGURATION = """
all.role server
all.export /store
all.export /readonly r/o
all.adminpath {folder}/admin
all.pidpath {folder}/run
oss.localroot {folder}/data
xrd.port {port}
xrd.network norpipa
xrd.allow host localhost
xrd.allow host {host}
"""
_CHECKSUMS = """
xrootd.chksum max 2 adler32
"""
_SSS = """
xrootd.seclib libXrdSec.so
sec.protocol sss -s {folder}/server.keytab
sec.protbind * only sss
"""


@dataclass
class XrootdServer:
    """A server with its own folder.

    Attributes:
        folder: Contains its configuration, data and log.
        port: Port on loopback.
        keytab: The client's keytab, if the server asks for the secret of the ``sss`` protocol.
    """

    folder: Path
    port: int
    keytab: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """URL of the writable export."""
        return self.at("/store")

    @property
    def log(self) -> Path:
        return self.folder / "xrootd.log"

    def at(self, path: str) -> str:
        """Return the URL of an absolute path."""
        return f"root://127.0.0.1:{self.port}/{path}"

    def data(self, path: str) -> Path:
        """Return the server's local file for an absolute path."""
        return self.folder / "data" / path.lstrip("/")

    def start(self) -> None:
        command = [shutil.which("xrootd") or "xrootd", "-I", "v4"]
        command += ["-c", str(self.folder / "xrootd.cf"), "-l", str(self.log)]
        if os.getuid() == 0:
            command += ["-R", _USER]
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        give_up = time.monotonic() + _START_LIMIT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"xrootd has not started:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill the server at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server's process: connections are accepted, and no request is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


@contextmanager
def xrootd_server(*, sss: bool = False, checksums: bool = True) -> Iterator[XrootdServer]:
    """Run a server; skip or fail the test if it is not installed.

    Args:
        sss: Ask clients for a shared secret.
        checksums: Let clients ask for checksums of files.
    """
    require()
    # The path of the socket in adminpath must be short. A test's folder may be long, and not
    # accessible to the user of the server.
    folder = Path(tempfile.mkdtemp(prefix="xrootd-"))
    server = XrootdServer(folder, free_port())
    try:
        text = _CONFIGURATION + (_CHECKSUMS if checksums else "")
        if sss:
            text += _SSS
            server.keytab = _make_keytabs(folder)
        (folder / "xrootd.cf").write_text(
            text.format(folder=folder, port=server.port, host=socket.gethostname())
        )
        for name in ("data/store", "data/readonly", "admin", "run"):
            (folder / name).mkdir(parents=True)
        _hand_over(folder)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def require() -> None:
    """Skip the test if the server is missing; fail it if GRID_TEST_STORES_REQUIRED is set."""
    missing = [name for name in ("xrootd", "xrdcp", "xrdfs") if shutil.which(name) is None]
    if missing:
        reason = (
            f"there is no {', '.join(missing)}; "
            "apt-get install --no-install-recommends xrootd-server xrootd-client"
        )
        if os.environ.get("GRID_TEST_STORES_REQUIRED"):
            pytest.fail(f"GRID_TEST_STORES_REQUIRED is set, but {reason}")
        pytest.skip(reason)


def _make_keytabs(folder: Path) -> Path:
    """Make the same key for the server and for a client; each needs its own file."""
    client = folder / "client.keytab"
    subprocess.run(
        ["xrdsssadmin", "-k", "tests", "-u", "anybody", "-g", "usrgroup", "add", str(client)],
        check=True,
        input=b"y\n",
        capture_output=True,
    )
    shutil.copy2(client, folder / "server.keytab")
    return client


def _hand_over(folder: Path) -> None:
    """Make the user of the server the owner of all files except the client's key."""
    if os.getuid() != 0:
        return
    user = pwd.getpwnam(_USER)
    folder.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        if path.name != "client.keytab":
            os.chown(path, user.pw_uid, user.pw_gid)
