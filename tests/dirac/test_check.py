"""``snakemake-grid check`` on a real DIRAC server."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.servers.dirac.configuration import CONFIGURATION, MAX_CPU_TIME
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import LOCAL_SITE
from tests.workflows.test_check import check, left

pytestmark = [pytest.mark.dirac, pytest.mark.workflow]

ELEMENT = ("--dirac-storage-element", "SE-1")


def test_a_job_goes_there_and_comes_back(project: Project) -> None:
    done = check(project, "--submit").succeeded()
    assert "✓ client           DIRAC client 9." in done.output
    assert "✓ configuration    read: sandboxes of up to 10.5 MB" in done.output
    assert f"CPUTime of up to {MAX_CPU_TIME}" in done.output
    assert "✓ credentials      proxy of ciuser in group " in done.output
    assert "✓ server           dirac answers" in done.output
    assert "✓ store            DIRAC's sandboxes: 64 KiB written" in done.output
    line = next(line for line in done.output.splitlines() if line.startswith("✓ job"))
    assert f"ran at {LOCAL_SITE} on " in line
    assert left(project) == []
    assert list(project.folder.iterdir()) == []


def test_nothing_stays_on_a_storage_element(project: Project, dirac_server: DiracServer) -> None:
    def files() -> set[Path]:
        folder = dirac_server.settings.storage("SE-1")
        found = {path for path in folder.rglob("*") if path.is_file()}
        # Other tests use the server at the same time, each below a folder with such a name.
        return {path for path in found if not re.search(r"/t[0-9a-f]{10}/", str(path))}

    before = files()
    done = check(project, "--submit", *ELEMENT).succeeded()
    assert "✓ store            SE-1, lfn:/" in done.output
    assert "64 KiB written, read back and removed" in done.output
    assert "✓ job" in done.output
    assert files() == before
    missing = check(project, "--dirac-storage-element", "SE-none")
    assert missing.code == 1
    assert "✗ server           --grid-dirac-storage-element SE-none: there is no" in missing.output


def test_proxies_that_will_not_do(
    project: Project, dirac_server: DiracServer, tmp_path: Path
) -> None:
    proxy = tmp_path / "proxy"
    project.environment["X509_USER_PROXY"] = str(proxy)
    dirac_server.make_proxy(hours=-1, path=proxy)
    expired = check(project)
    assert expired.code == 1
    text = expired.output
    assert "✓ client" in text
    assert "cannot be read without a good proxy" in text
    assert "✗ credentials" in text
    assert f"the proxy in {proxy} has expired" in text
    assert "dirac-proxy-init" in text
    dirac_server.make_proxy(hours=0, minutes=20, path=proxy)
    soon = check(project)
    assert soon.code == 1
    assert f"✗ credentials      the proxy in {proxy} expires in 19 min" in soon.output
    assert "needs this first: credentials" in soon.output
    assert check(project, "--proxy-hours", "0.1").code == 0


def test_a_server_that_is_not_there(
    project: Project, dirac_server: DiracServer, tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nobody = str(listener.getsockname()[1])
    written = Path(project.site.environment["DIRACSYSCONFIG"]).read_text()
    port = str(dirac_server.settings.ports[CONFIGURATION])
    assert port in written
    (tmp_path / "dirac.cfg").write_text(written.replace(port, nobody))
    project.environment["DIRACSYSCONFIG"] = str(tmp_path / "dirac.cfg")
    down = check(project)
    assert down.code == 1
    assert "✓ client" in down.output
    assert "✗ configuration" in down.output
    line = next(line for line in down.output.splitlines() if "✗ configuration" in line)
    assert "DIRAC does not answer (" in line
    assert f":{nobody}: connection refused)" in line
    assert line.count("refused") == 1
    assert "needs this first: configuration" in down.output


def test_local_mode(project: Project) -> None:
    done = check(project, "--dirac-mode", "local", "--banned-sites=").succeeded()
    assert "by DIRAC's local mode" in done.output
    assert "✓ store            none is needed" in done.output
