"""Clients of other versions of DIRAC on this server: they work, or are refused at once.

GRID_TEST_DIRAC_CLIENTS names their environments, with a colon between them; `make
test-dirac-versions` does, with the supported versions on servers of each.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

import pytest

from snakemake_executor_plugin_grid.backends.dirac.versions import Versions
from snakemake_executor_plugin_grid.model.errors import PermanentError
from tests.conftest import Project
from tests.nodes import node_with_packages, with_path
from tests.servers.dirac.server import DiracServer
from tests.servers.dirac.settings import version_of
from tests.workflows.test_check import check
from tests.workflows.test_example import run_example

pytestmark = [pytest.mark.dirac, pytest.mark.workflow, pytest.mark.slow]

ELEMENT = ("--grid-dirac-storage-element", "SE-1")
CLIENTS = tuple(filter(None, os.environ.get("GRID_TEST_DIRAC_CLIENTS", "").split(":")))
LARGE = 11 << 20  # more than a sandbox may have


@pytest.fixture(params=CLIENTS or [pytest.param("", marks=pytest.mark.skip("no client is named"))])
def python(request: pytest.FixtureRequest) -> Path:
    """Return the Python of a client."""
    return Path(request.param).absolute() / "bin" / "python"


@pytest.fixture
def works(python: Path, dirac_server: DiracServer) -> bool:
    """Return whether the client is one that the server can serve."""
    try:
        Versions(version_of(python.parents[1]), dirac_server.settings.version).check()
    except PermanentError:
        return False
    return True


@pytest.fixture
def project_of_client(project: Project, python: Path) -> Project:
    project.environment["SNAKEMAKE_GRID_DIRAC_PYTHON"] = str(python)
    project.site = project.site.without("--grid-dirac-python")
    return project


def test_a_client_is_served_or_refused(
    project_of_client: Project, works: bool, dirac_server: DiracServer
) -> None:
    project, server = project_of_client, dirac_server.settings.version
    if not works:
        began = time.monotonic()
        project.put("Snakefile", "rule a:\n    output: 'a.txt'\n    shell: 'touch {output}'\n")
        output = project.run().failed().output
        assert f"the server {server}" in output
        assert "--grid-dirac-python" in output
        assert time.monotonic() - began < 60
        return
    done = check(project, "--submit", "--dirac-storage-element", "SE-1").succeeded()
    assert f", server {server}" in done.output
    tag = f"t{secrets.token_hex(5)}"
    (project.folder / "in.bin").write_bytes(secrets.token_bytes(LARGE))
    project.put(
        "Snakefile",
        f"""
rule {tag}:
    input: "middle.bin", "in.bin"
    output: "out.txt"
    resources: mem_mb=3000, runtime=10
    threads: 2
    shell: "cmp {{input}} && echo {{resources.mem_mb}} >{{output}}"
rule middle:
    input: "in.bin"
    output: "middle.bin"
    resources: mem_mb=800
    shell: "cp {{input}} {{output}}"
rule fails:
    output: "never.txt"
    log: "fails.log"
    shell: "echo the reason >{{log}}; exit 7"
""",
    )
    options = (*ELEMENT, "--grid-store", f"lfn:/testvo/user/c/ciuser/{tag}")
    project.run(*options).succeeded()
    assert project.read("out.txt") == "3000\n"
    failed = project.run("never.txt", *options).failed().output
    assert "the reason" in failed
    assert "exit code 7" in failed
    assert project.read("fails.log") == "the reason\n"
    assert "Removed" in project.grid("clean", "--yes").succeeded().output
    folder = dirac_server.settings.storage("SE-1") / "testvo/user/c/ciuser" / tag
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_the_example(project_of_client: Project, works: bool, tmp_path: Path) -> None:
    if not works:
        pytest.skip("the server does not serve this client")
    path = node_with_packages(tmp_path / "node")
    run_example(project_of_client, "--profile", "profiles/local", *with_path(path))
