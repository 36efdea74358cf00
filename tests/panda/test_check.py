"""``snakemake-grid check`` on a PanDA server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project
from tests.servers.panda.server import PandaServer
from tests.workflows.test_check import check, left

from .conftest import SITE
from .seen import Seen

pytestmark = [pytest.mark.panda, pytest.mark.workflow]


def test_a_job_goes_there_and_comes_back(project: Project, seen: Seen, tmp_path: Path) -> None:
    done = check(project, "--submit").succeeded()
    assert "✓ client           PanDA client 2." in done.output
    assert "✓ configuration    server http" in done.output
    assert "✓ credentials      token of " in done.output
    assert "✓ server           panda answers" in done.output
    assert f"✓ store            file://{tmp_path}/store: 64 KiB written, read back" in done.output
    line = next(line for line in done.output.splitlines() if line.startswith("✓ job"))
    assert f"ran at {SITE} on " in line
    assert len(seen.tasks()) == 1
    assert left(project) == []
    assert not (tmp_path / "store").exists()


def test_without_a_job_the_server_gets_none(project: Project, seen: Seen) -> None:
    check(project).succeeded()
    assert seen.tasks() == []


def test_a_token_that_has_expired(project: Project, panda_server: PandaServer) -> None:
    panda_server.write_token(seconds=-60)
    expired = check(project)
    assert expired.code == 1
    assert "✗ credentials" in expired.output
    assert "has expired" in expired.output
    assert "snakemake-grid auth" in expired.output
    assert "✓ store" in expired.output
    assert "needs this first: credentials" in expired.output


def test_a_server_that_is_down(project: Project, panda_server: PandaServer) -> None:
    panda_server.stop()
    try:
        down = check(project, "--submit")
    finally:
        panda_server.start()
    assert down.code == 1
    assert "✓ credentials" in down.output
    assert "✗ server" in down.output
    assert "PANDA_URL_SSL" in down.output
    assert "needs this first: server" in down.output
