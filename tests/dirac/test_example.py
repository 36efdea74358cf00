"""The example workflow on a DIRAC server, whose nodes have no Snakemake."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.nodes import node_with_packages, with_path
from tests.servers.dirac.server import DiracServer
from tests.workflows.test_example import run_example

pytestmark = [pytest.mark.dirac, pytest.mark.workflow, pytest.mark.slow]


def test_nodes_have_the_packages_of_the_scripts(project: Project, tmp_path: Path) -> None:
    path = node_with_packages(tmp_path / "node")
    run_example(project, "--profile", "profiles/local", *with_path(path))


def test_data_and_intermediate_files_are_on_the_grid(
    project: Project, dirac_server: DiracServer, tmp_path: Path
) -> None:
    testdata = pytest.importorskip("skhep_testdata")
    folder = f"/testvo/user/c/ciuser/example-{secrets.token_hex(5)}"
    data = testdata.data_path("uproot-Zmumu.root")
    dirac_server.command("dirac-dms-add-file", f"{folder}/data.root", data, "SE-1")
    path = node_with_packages(tmp_path / "node")
    run_example(
        project,
        *("--profile", "profiles/dirac-data", "--grid-dirac-storage-element", "SE-1"),
        *("--config", f"data=lfn:{folder}/data.root", f"folder=lfn:{folder}"),
        *with_path(path),
    )
    assert not list((project.folder / ".snakemake" / "storage").rglob("*.*"))
    assert not (project.folder / "results" / "masses.csv").exists()
    stored = dirac_server.settings.storage("SE-1") / folder.lstrip("/") / "results"
    assert (stored / "masses.csv").stat().st_size > 0
